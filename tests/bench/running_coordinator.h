// A whole coordinator in this process, over loopback, and what benches ask of it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "base/files.h"
#include "coordinator/service.h"
#include "link/coordinator_link.h"

namespace strata::bench {

using link::CoordinatorLink;
using Clock = std::chrono::steady_clock;

inline constexpr auto kPatience = std::chrono::milliseconds{300'000};

inline double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

inline void need(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  std::exit(1);
}
template <class T>
T needed(Result<T> result) {
  if (!result) need(tl::unexpected(result.error()));
  return std::move(*result);
}

inline double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}
inline void print_latencies(const char* what, std::vector<double> ms) {
  const double p50 = percentile(ms, 0.5);
  const double p95 = percentile(ms, 0.95);
  std::printf("%s, ms: p50 %.2f, p95 %.2f, p99 %.2f, longest %.2f\n", what, p50, p95,
              percentile(ms, 0.99), percentile(ms, 1.0));
}

// Waits while the queue to the coordinator is full.
inline void send_to(CoordinatorLink& link, const Message& message) {
  const auto began = Clock::now();
  while (true) {
    const Status sent = link.send(message);
    if (sent) return;
    if (seconds_since(began) > 30) need(sent);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

class Running {
 public:
  explicit Running(const std::filesystem::path& folder)
      : store_(needed(make_temporary_folder(folder, "strata-bench-"))),
        service_(
            needed(coordinator::Service::start({.store = store_ / "store", .build = "bench"}))),
        thread_([this] { need(service_->run()); }) {}
  ~Running() {
    service_->stop();
    thread_.join();
    service_.reset();
    std::filesystem::remove_all(store_);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  [[nodiscard]] CoordinatorLink dial() const {
    return needed(CoordinatorLink::open(service_->address_file()));
  }
  [[nodiscard]] std::filesystem::path store() const { return store_ / "store"; }

 private:
  std::filesystem::path store_;
  std::unique_ptr<coordinator::Service> service_;
  std::jthread thread_;
};

struct BenchWorker {
  CoordinatorLink link;
  WorkerId id{};
  std::uint64_t session = 1;

  void join(std::int64_t slots) {
    need(link.send(Hello{.build = "bench", .name = "box", .session = session, .slots = slots}));
    while (id == WorkerId()) {
      const auto message = needed(link.receive(kPatience));
      if (const auto* welcome = message ? std::get_if<Welcome>(&*message) : nullptr)
        id = welcome->worker;
    }
  }
};

}  // namespace strata::bench

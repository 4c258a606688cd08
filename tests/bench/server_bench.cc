// A whole coordinator over real loopback sockets: durable acknowledgements at a given rate, metric
// points from many clients, the longest turn of the control loop while people ask for the worst
// things at once, and a scrape.
//
//   strata-bench-server ack --rate 10000 --tasks 30000
//   strata-bench-server ingest --clients 20 --seconds 5
//   strata-bench-server loop --tasks 100000
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "coordinator/core/core.h"
#include "coordinator/service.h"
#include "coordinator/sqlite.h"
#include "link/coordinator_link.h"

namespace strata::coordinator {
namespace {

using namespace std::chrono_literals;
using link::CoordinatorLink;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = 300'000ms;

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

void need(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "strata-bench-server: %s\n", status.error().message.c_str());
  std::exit(1);
}
template <class T>
T needed(Result<T> result) {
  if (!result) need(tl::unexpected(result.error()));
  return std::move(*result);
}

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}
void print_latencies(const char* what, std::vector<double> ms) {
  const double p50 = percentile(ms, 0.5);
  const double p95 = percentile(ms, 0.95);
  std::printf("%s, ms: p50 %.2f, p95 %.2f, p99 %.2f, longest %.2f\n", what, p50, p95,
              percentile(ms, 0.99), percentile(ms, 1.0));
}

class Running {
 public:
  explicit Running(const std::filesystem::path& folder)
      : store_(needed(make_temporary_folder(folder, "strata-bench-server-"))),
        service_(needed(Service::start({.store = store_ / "store", .build = "bench"}))),
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
  std::unique_ptr<Service> service_;
  std::jthread thread_;
};

TaskSpec task(std::int64_t number) {
  TaskSpec spec{.stage = "true",
                .program = {.name = "true", .argv = {"/bin/true"}},
                .parameters = Value(Object{{"i", number}})};
  spec.key = compute_key(spec);
  return spec;
}

double submit(CoordinatorLink& client, const std::string& sweep, std::int64_t count) {
  const auto began = Clock::now();
  for (std::int64_t at = 0; at < count; at += static_cast<std::int64_t>(kTasksPerBatchMax)) {
    SubmitTasks batch{.sweep = sweep, .definition = "{}", .first = at == 0};
    const std::int64_t end = std::min(count, at + static_cast<std::int64_t>(kTasksPerBatchMax));
    batch.last = end == count;
    for (std::int64_t i = at; i < end; ++i) {
      batch.tasks.push_back(task(i));
      RunSpec run{.cell = "c", .seed = static_cast<std::uint64_t>(i)};
      run.tasks["true"] = batch.tasks.back().key;
      run.key = compute_key(run);
      batch.runs.push_back(std::move(run));
    }
    const Answer answer = needed(client.submit(std::move(batch), kPatience));
    if (!answer.ok) need(fail(ErrorCode::kInternal, "{}", answer.body));
  }
  return seconds_since(began);
}

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

// The text that Prometheus is given, and how long it took.
std::pair<std::string, double> scrape(const std::string& address) {
  const auto began = Clock::now();
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port =
      htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string text;
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) {
    const std::string ask = "GET /metrics HTTP/1.0\r\n\r\n";
    if (::send(fd, ask.data(), ask.size(), 0) > 0) {
      std::string part(65'536, '\0');
      for (ssize_t n = 0; (n = ::recv(fd, part.data(), part.size(), 0)) > 0;)
        text.append(part, 0, static_cast<std::size_t>(n));
    }
  }
  if (fd >= 0) ::close(fd);
  return {text, seconds_since(began)};
}
double gauge(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\n" + name + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

// Each report of an end is answered when it is durable. Grants, starts and ends are three events.
void measure_ack(const std::filesystem::path& folder, double rate, std::int64_t tasks) {
  const Running running(folder);
  CoordinatorLink client = running.dial();
  submit(client, "bench", tasks);
  BenchWorker worker{.link = running.dial()};
  worker.join(256);
  std::map<AttemptId, Clock::time_point> sent;
  std::deque<AttemptId> orders;
  std::vector<double> ms;
  const auto began = Clock::now();
  const double pause = 3.0 / rate;
  std::int64_t reported = 0;
  while (static_cast<std::int64_t>(ms.size()) < tasks) {
    const auto due = [&] { return seconds_since(began) >= pause * static_cast<double>(reported); };
    while (!orders.empty() && due()) {
      const AttemptId attempt = orders.front();
      orders.pop_front();
      need(worker.link.send(ReportStarted{.worker = worker.id, .attempt = attempt}));
      sent[attempt] = Clock::now();
      need(worker.link.send(
          ReportEnded{.worker = worker.id, .attempt = attempt, .outcome = Succeeded{}}));
      ++reported;
    }
    const auto message = needed(worker.link.receive(1ms));
    if (!message) continue;
    if (const auto* order = std::get_if<StartAttempt>(&*message)) {
      if (!sent.contains(order->attempt)) orders.push_back(order->attempt);
    } else if (const auto* ack = std::get_if<EndedAck>(&*message)) {
      ms.push_back(1e3 * seconds_since(sent.at(ack->attempt)));
    }
  }
  std::printf("events a second       %10.0f (asked for %.0f)\n",
              3 * static_cast<double>(tasks) / seconds_since(began), rate);
  print_latencies("acknowledgement", std::move(ms));
}

// Batches of 10 points, each fifth followed by one that was acknowledged long ago, as after a
// break of the connection.
void measure_ingest(const std::filesystem::path& folder, int clients, double seconds) {
  const Running running(folder);
  CoordinatorLink client = running.dial();
  submit(client, "bench", clients);
  BenchWorker worker{.link = running.dial()};
  worker.join(clients);
  std::vector<AttemptId> attempts;
  while (attempts.size() < static_cast<std::size_t>(clients)) {
    const auto message = needed(worker.link.receive(kPatience));
    const auto* order = message ? std::get_if<StartAttempt>(&*message) : nullptr;
    if (order == nullptr || std::ranges::find(attempts, order->attempt) != attempts.end()) continue;
    need(worker.link.send(ReportStarted{.worker = worker.id, .attempt = order->attempt}));
    attempts.push_back(order->attempt);
  }
  const auto batch_of = [&](const AttemptId& attempt, std::uint64_t first) {
    MetricBatch batch{.worker = worker.id, .attempt = attempt};
    for (std::uint64_t i = first; i < first + 10; ++i) {
      batch.points.push_back({.sequence = i,
                              .step = static_cast<std::int64_t>(i),
                              .values = {{"loss", 1.0 / static_cast<double>(i)}}});
    }
    return batch;
  };
  std::vector<std::vector<double>> ms(attempts.size());
  std::vector<std::uint64_t> stored(attempts.size());
  const auto began = Clock::now();
  {
    std::vector<std::jthread> threads;
    for (std::size_t c = 0; c < attempts.size(); ++c) {
      threads.emplace_back([&, c] {
        CoordinatorLink link = running.dial();
        constexpr std::uint64_t kAhead = 4;  // batches on their way
        std::map<std::uint64_t, Clock::time_point> sent;
        std::uint64_t next = 1;
        while (seconds_since(began) < seconds || !sent.empty()) {
          while (seconds_since(began) < seconds && sent.size() < kAhead) {
            sent[next + 9] = Clock::now();
            need(link.send(batch_of(attempts[c], next)));
            if (next % 50 == 41) need(link.send(batch_of(attempts[c], next - 40)));
            next += 10;
          }
          const auto message = needed(link.receive(kPatience));
          const auto* ack = message ? std::get_if<MetricAck>(&*message) : nullptr;
          if (ack == nullptr) continue;
          while (!sent.empty() && sent.begin()->first <= ack->up_to) {
            ms[c].push_back(1e3 * seconds_since(sent.begin()->second));
            sent.erase(sent.begin());
          }
        }
        stored[c] = next - 1;
      });
    }
  }
  const double took = seconds_since(began);
  std::uint64_t points = 0;
  std::vector<double> all;
  for (std::size_t c = 0; c < attempts.size(); ++c) {
    points += stored[c];
    all.insert(all.end(), ms[c].begin(), ms[c].end());
  }
  std::printf("points a second       %10.0f\n", static_cast<double>(points) / took);
  print_latencies("acknowledgement of a batch of 10", std::move(all));
  const SQLite::Database database((running.store() / "metrics.sqlite").string(),
                                  SQLite::OPEN_READONLY);
  SQLite::Statement read(database,
                         "SELECT s.task, p.sequence, p.step, p.metrics FROM series s JOIN point p "
                         "ON p.series = s.id ORDER BY s.task, p.sequence");
  std::map<std::string, std::uint64_t> back;
  std::uint64_t wrong = 0;
  while (read.executeStep()) {
    const auto sequence = static_cast<std::uint64_t>(read.getColumn(1).getInt64());
    const std::string expected =
        to_canonical_json(Object{{"loss", 1.0 / static_cast<double>(sequence)}});
    if (++back[read.getColumn(0).getString()] != sequence ||
        read.getColumn(2).getInt64() != read.getColumn(1).getInt64() ||
        read.getColumn(3).getString() != expected)
      ++wrong;
  }
  std::uint64_t read_back = 0;
  for (const auto& [key, count] : back) read_back += count;
  std::printf("read back             %10llu of %llu points, %llu of them wrong\n",
              static_cast<unsigned long long>(read_back), static_cast<unsigned long long>(points),
              static_cast<unsigned long long>(wrong));
}

void measure_loop(const std::filesystem::path& folder, std::int64_t tasks) {
  const Running running(folder);
  CoordinatorLink client = running.dial();
  const std::string metrics = client.address().metrics_address;
  const auto gap = [&](const char* what) {
    std::this_thread::sleep_for(2'200ms);  // the exporter is told once a second
    const auto [text, took] = scrape(metrics);
    std::printf("longest turn so far, after %-28s %8.1f ms; this scrape %.1f ms\n", what,
                1e3 * gauge(text, "strata_loop_gap_max_seconds"), 1e3 * took);
  };
  BenchWorker worker{.link = running.dial()};
  worker.join(64);
  std::printf("submitting %lld tasks took %.1f s\n", static_cast<long long>(tasks),
              submit(client, "bench", tasks));
  gap("the submission");
  const auto ask = [&](const std::string& verb, Object body) {
    CoordinatorLink link = running.dial();
    const auto began = Clock::now();
    const Answer answer = needed(link.ask(verb, to_canonical_json(Value(body)), kPatience));
    std::printf("  %s: %s, %.0f ms\n", verb.c_str(), answer.ok ? "ok" : answer.body.c_str(),
                1e3 * seconds_since(began));
  };
  ask("watch", {{"sweep", "bench"}});
  gap("watch");
  ask("cancel", {{"sweep", "bench"}});
  gap("cancel");
  ask("retry", {{"sweep", "bench"}});
  gap("retry");
  {
    std::vector<std::jthread> all;
    all.emplace_back([&] { ask("cancel", {{"sweep", "bench"}}); });
    all.emplace_back([&] { ask("watch", {{"sweep", "bench"}}); });
    all.emplace_back([&] { ask("retry", {{"sweep", "bench"}}); });
    all.emplace_back([&] {
      CoordinatorLink link = running.dial();
      submit(link, "bench", tasks);
    });
  }
  gap("all of it at once");
}

}  // namespace
}  // namespace strata::coordinator

int main(int argc, char** argv) {
  std::filesystem::path folder = std::filesystem::temp_directory_path();
  double rate = 10'000;
  std::int64_t tasks = 30'000;
  int clients = 20;
  double seconds = 5;
  CLI::App app{"A whole coordinator over loopback sockets.", "strata-bench-server"};
  app.require_subcommand(1);
  app.add_option("--folder", folder, "on a local disk")->capture_default_str();
  CLI::App* ack = app.add_subcommand("ack", "durable acknowledgements");
  ack->add_option("--rate", rate, "events a second")->capture_default_str();
  ack->add_option("--tasks", tasks)->capture_default_str();
  CLI::App* ingest = app.add_subcommand("ingest", "metric points");
  ingest->add_option("--clients", clients)->capture_default_str();
  ingest->add_option("--seconds", seconds)->capture_default_str();
  CLI::App* loop = app.add_subcommand("loop", "the longest turn of the control loop");
  loop->add_option("--tasks", tasks)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  if (*ack) strata::coordinator::measure_ack(folder, rate, tasks);
  if (*ingest) strata::coordinator::measure_ingest(folder, clients, seconds);
  if (*loop) strata::coordinator::measure_loop(folder, tasks);
  return 0;
}

// What the benches of the trainer share: the models that they measure, the clock of the processor,
// and where the time goes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/torch/torch.h"
#include "trainer/models/config.h"

namespace strata::trainer {

// As the peer has them: change both.
struct Size {
  const char* name = "";
  std::int64_t dim = 0, depth = 0, heads = 0, text_dim = 0, batch = 0, hidden = 0;
  std::int64_t text_layer = 0, speech_layer = 0;
};
inline constexpr Size kSizes[] = {
    {.name = "tiny",
     .dim = 64,
     .depth = 2,
     .heads = 2,
     .text_dim = 64,
     .batch = 2,
     .hidden = 64,
     .text_layer = 1,
     .speech_layer = 2},
    {.name = "middle",
     .dim = 256,
     .depth = 6,
     .heads = 4,
     .text_dim = 256,
     .batch = 8,
     .hidden = 512,
     .text_layer = 3,
     .speech_layer = 4},
    {.name = "small",
     .dim = 768,
     .depth = 18,
     .heads = 12,
     .text_dim = 512,
     .batch = 1,
     .hidden = 2048,
     .text_layer = 8,
     .speech_layer = 12},
};
inline constexpr std::int64_t kFrames = 512;
inline constexpr std::int64_t kLetters = 80;
inline constexpr std::int64_t kVocabulary = 78;
inline constexpr std::int64_t kMel = 100;
inline constexpr double kFrameSeconds = 256.0 / 24'000;

// REQUIRES: there is one of that name.
inline Size size_named(const std::string& name) {
  return *std::ranges::find_if(kSizes, [&](const Size& size) { return name == size.name; });
}

inline ModelConfig model_config(const Size& size) {
  ModelConfig config;
  config.dim = size.dim;
  config.depth = size.depth;
  config.heads = size.heads;
  config.text_dim = size.text_dim;
  config.vocabulary = kVocabulary;
  config.mel = kMel;
  return config;
}

// Ids of a made-up text, another one for each `number`.
inline std::vector<std::int64_t> made_up_text(std::int64_t number) {
  std::vector<std::int64_t> text;
  for (std::int64_t k = 0; k < kLetters; ++k) text.push_back((7 * number + 13 * k) % kVocabulary);
  return text;
}

// MiB of /proc/self/status.
inline double memory(const std::string& field) {
  std::istringstream lines(read_file("/proc/self/status").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(field + ":")) return std::stod(line.substr(field.size() + 1)) / 1024;
  }
  return 0;
}

// Of the processor, so that other programs on the machine do not count: of this thread, or of all
// threads.
inline double processor_seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// --- where the time goes: seconds of each operation by itself ---

struct OpTime {
  double seconds = 0;
  std::int64_t calls = 0;
};

// Of the calling thread alone; on the CPU backward runs there, too.
class OpTimes {
 public:
  // From now on. REQUIRES: no other one was started by this thread.
  static void start() { at::addThreadLocalCallback(at::RecordFunctionCallback(begin_op, end_op)); }

  static void print() {
    std::vector<std::pair<std::string, OpTime>> sorted(times().begin(), times().end());
    std::ranges::sort(sorted, std::greater<>(), [](const auto& op) { return op.second.seconds; });
    double all = 0;
    for (const auto& [name, time] : sorted) all += time.seconds;
    std::printf("%-44s %8s %8s %7s\n", "operation", "calls", "seconds", "share");
    for (std::size_t i = 0; i < std::min<std::size_t>(32, sorted.size()); ++i) {
      const auto& [name, time] = sorted[i];
      std::printf("%-44.44s %8lld %8.3f %6.1f%%\n", name.c_str(),
                  static_cast<long long>(time.calls), time.seconds, 100 * time.seconds / all);
    }
  }

 private:
  struct Running : at::ObserverContext {
    double began = processor_seconds(CLOCK_THREAD_CPUTIME_ID);
  };

  static std::map<std::string, OpTime>& times() {
    static std::map<std::string, OpTime> all;
    return all;
  }
  // Of the operations called by those that are open.
  static std::vector<double>& inner_seconds() {
    static std::vector<double> open;
    return open;
  }

  static std::unique_ptr<at::ObserverContext> begin_op(const at::RecordFunction&) {
    inner_seconds().push_back(0);
    return std::make_unique<Running>();
  }

  static void end_op(const at::RecordFunction& op, at::ObserverContext* context) {
    const double seconds =
        processor_seconds(CLOCK_THREAD_CPUTIME_ID) - static_cast<Running*>(context)->began;
    OpTime& time = times()[op.name()];
    time.seconds += seconds - inner_seconds().back();
    ++time.calls;
    inner_seconds().pop_back();
    if (!inner_seconds().empty()) inner_seconds().back() += seconds;
  }
};

}  // namespace strata::trainer

#include "trainer/progress.h"

#include <csignal>

#include "base/json.h"

namespace strata::trainer {
namespace {

constexpr const char* kProgressFile = "progress.jsonl";

// The one global of the trainer: a signal handler can reach nothing else.
volatile std::sig_atomic_t stop_flag = 0;

extern "C" void on_stop_request(int) { stop_flag = 1; }

}  // namespace

Result<Progress> Progress::open(const std::filesystem::path& attempt_folder) {
  STRATA_TRY(LineAppender lines, LineAppender::open(attempt_folder / kProgressFile));
  return Progress(std::move(lines));
}

Status Progress::report(std::int64_t step, std::optional<std::int64_t> total,
                        const Metrics& metrics) {
  Object line{{"step", step}};
  if (total) line.emplace("total", *total);
  if (!metrics.empty()) {
    Object values;
    for (const auto& [name, value] : metrics) values.emplace(name, value);
    line.emplace("metrics", std::move(values));
  }
  return lines_.append(to_canonical_json(line));
}

Status Progress::announce_checkpoint(std::int64_t step, const std::filesystem::path& checkpoint) {
  return lines_.append(
      to_canonical_json(Object{{"step", step}, {"checkpoint", checkpoint.generic_string()}}));
}

void listen_for_stop_request() {
  struct sigaction action {};
  action.sa_handler = on_stop_request;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
}

bool stop_requested() { return stop_flag != 0; }

}  // namespace strata::trainer

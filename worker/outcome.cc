#include "worker/outcome.h"

#include <csignal>

#include "base/json.h"

namespace strata::worker {
namespace {

constexpr int kSignalBase = 128;  // a shell's, and mpirun's, exit code for what a signal ended

std::string with_log_line(std::string what, const std::string& line) {
  return line.empty() ? what : what + ": " + line;
}

bool rank_was_lost(const strata::Exit& exit) {
  const int signal = exit.signal != 0 ? exit.signal : exit.code - kSignalBase;
  return signal == SIGKILL || signal == SIGTERM;
}

}  // namespace

std::optional<Outcome> outcome_of(const EndedProgram& ended) {
  const strata::Exit& exit = ended.how.exit;
  const auto failed = [&](FailureClass cause, std::string what) {
    return Failed{.cause = cause, .reason = with_log_line(std::move(what), ended.last_log_line)};
  };
  if (ended.how.guard_lost) {
    if (ended.asked_to_stop) return Stopped{.reason = *ended.asked_to_stop};
    return failed(FailureClass::kInfra, "its guard was killed");
  }
  if (exit.ok()) return {};
  if (exit.signal == 0 && exit.code == exit_code::kInvalid)
    return failed(FailureClass::kInvalid, "exit code 2 (spec or inputs)");
  if (exit.signal == 0 && exit.code == exit_code::kDiverged) {
    return Diverged{.reason = with_log_line("exit code 3 (diverged)", ended.last_log_line)};
  }
  if (ended.asked_to_stop) return Stopped{.reason = *ended.asked_to_stop};
  if (exit.signal == 0 && exit.code == exit_code::kStopped) {
    return failed(FailureClass::kInfra,
                  "exit code 4: somebody else than the coordinator asked it to stop");
  }
  if (ended.ranks && rank_was_lost(exit)) {
    return failed(FailureClass::kInfra,
                  (exit.signal != 0 ? "mpirun was lost, " : "a rank was lost, ") + exit.describe());
  }
  return failed(FailureClass::kUser, exit.describe());
}

Result<std::map<std::string, std::string>> parse_recorded(std::string_view text) {
  STRATA_TRY(const Value value, parse_json(text));
  const Object* object = value.if_object();
  if (object == nullptr)
    return fail(ErrorCode::kInvalid, "recorded.json: expected a map, found a {}", value.kind());
  if (object->size() > kRecordedMax)
    return fail(ErrorCode::kTooLarge, "recorded.json: more than {} entries", kRecordedMax);
  std::map<std::string, std::string> recorded;
  for (const auto& [name, entry] : *object) {
    const std::string* as_text = entry.if_string();
    if (as_text == nullptr && entry.if_number() == nullptr && entry.if_bool() == nullptr) {
      return fail(ErrorCode::kInvalid, "recorded.json.{}: expected a text or a number, found a {}",
                  name, entry.kind());
    }
    std::string content = as_text != nullptr ? *as_text : to_canonical_json(entry);
    if (content.size() > kRecordedBytesMax) {
      return fail(ErrorCode::kTooLarge, "recorded.json.{}: more than {} bytes", name,
                  kRecordedBytesMax);
    }
    recorded.emplace(name, std::move(content));
  }
  return recorded;
}

}  // namespace strata::worker

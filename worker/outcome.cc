#include "worker/outcome.h"

#include <csignal>

#include "base/assert.h"
#include "base/json.h"
#include "base/log.h"
#include "worker/run_directory.h"
#include "worker/signature.h"

namespace strata::worker {
namespace {

constexpr int kSignalBase = 128;  // a shell's, and mpirun's, exit code for what a signal ended

bool ended_by(const strata::Exit& exit, int signal) {
  return exit.signal == signal || (exit.signal == 0 && exit.code == kSignalBase + signal);
}

bool has_code(const ProgramExit& how, int code) {
  return !how.guard_lost && how.exit.signal == 0 && how.exit.code == code;
}

std::string described(const ProgramExit& how) {
  return how.guard_lost ? "its guard was killed" : how.exit.describe();
}

// Why it failed, as far as that can be seen.
struct Verdict {
  FailureClass cause = FailureClass::kUser;
  LogAction action = LogAction::kNone;
  std::string what{};  // how it ended and what that means
  std::string line{};  // what it, or the kernel, said
  std::string rule{};  // of the policy; empty: none
};

Failed failed(const EndedProgram& ended, const Verdict& verdict) {
  const std::string line = clipped(verdict.line);
  std::string reason = verdict.what;
  if (!line.empty()) reason += ": " + line;
  if (!verdict.rule.empty()) reason += " (rule " + verdict.rule + ")";
  std::string signature = described(ended.how);
  if (!line.empty()) signature += ": " + normalised(line);
  return {.cause = verdict.cause,
          .reason = std::move(reason),
          .signature = std::move(signature),
          .step = ended.step,
          .action = verdict.action};
}

std::optional<Verdict> verdict_by(const LogPolicy& policy, const std::vector<LogLine>& lines,
                                  const std::string& what) {
  const auto match = policy.judge(lines);
  if (!match) return {};
  const LogRule& rule = policy.rules().at(match->rule);
  return Verdict{.cause = rule.cause,
                 .action = rule.action,
                 .what = what,
                 .line = lines[match->line].text,
                 .rule = rule.name};
}

// What the kernel and the log say, the surer one first.
std::optional<Verdict> verdict_by_evidence(const EndedProgram& ended, const LogPolicy& policy) {
  const Evidence& evidence = ended.evidence;
  const std::string what = described(ended.how);
  if (evidence.oom_kills > 0 && (ended.how.guard_lost || ended_by(ended.how.exit, SIGKILL))) {
    return Verdict{.cause = FailureClass::kMemory,
                   .what = what + ", and the kernel killed something here for want of memory",
                   .line = telling_line(evidence.log)};
  }
  std::vector<LogLine> kernel;
  for (const std::string& line : evidence.kernel) kernel.push_back({.text = line});
  auto by_kernel = verdict_by(policy, kernel, what + "; the kernel says");
  if (by_kernel && by_kernel->cause == FailureClass::kNode) return by_kernel;
  return verdict_by(policy, evidence.log, what);
}

Verdict verdict_by_exit(const EndedProgram& ended) {
  const strata::Exit& exit = ended.how.exit;
  Verdict verdict{.what = described(ended.how), .line = telling_line(ended.evidence.log)};
  if (ended.how.guard_lost) {
    verdict.cause = FailureClass::kInfra;
  } else if (has_code(ended.how, exit_code::kStopped) && ended.resumable) {
    verdict.cause = FailureClass::kScheduled;
    verdict.what = "exit code 4: somebody else than the coordinator asked it to stop";
  } else if (has_code(ended.how, exit_code::kStopped)) {
    verdict.what =
        "exit code 4, which means \"stopped, go on from the checkpoint\", of a stage that "
        "is not resumable";
  } else if (ended.ranks && (ended_by(exit, SIGKILL) || ended_by(exit, SIGTERM))) {
    verdict.cause = FailureClass::kInfra;
    verdict.what = (exit.signal != 0 ? "mpirun was lost, " : "a rank was lost, ") + verdict.what;
  }
  return verdict;
}

// Of one that we had asked to stop: is this end surely not of our making?
bool is_failure_of_its_own(const EndedProgram& ended, const std::optional<Verdict>& verdict) {
  if (!verdict || ended.how.guard_lost || has_code(ended.how, exit_code::kStopped) ||
      ended_by(ended.how.exit, SIGTERM) || ended_by(ended.how.exit, SIGKILL))
    return false;
  switch (verdict->cause) {
    case FailureClass::kMemory:
    case FailureClass::kNode:
    case FailureClass::kStorage:
    case FailureClass::kData: return true;
    // A program that is stopped may well end with a traceback, and its ranks with complaints about
    // each other.
    case FailureClass::kUser:
    case FailureClass::kInvalid:
    case FailureClass::kInfra:
    case FailureClass::kScheduled: return false;
  }
  return false;
}

}  // namespace

std::optional<Outcome> outcome_of(const EndedProgram& ended, const LogPolicy& policy) {
  const ProgramExit& how = ended.how;
  if (!how.guard_lost && how.exit.ok()) return {};
  const std::string last = telling_line(ended.evidence.log);
  if (has_code(how, exit_code::kInvalid)) {
    return failed(
        ended,
        {.cause = FailureClass::kInvalid, .what = "exit code 2 (spec or inputs)", .line = last});
  }
  if (has_code(how, exit_code::kDiverged)) {
    return Diverged{.reason =
                        "exit code 3 (diverged)" + (last.empty() ? "" : ": " + clipped(last))};
  }
  const auto verdict = verdict_by_evidence(ended, policy);
  if (ended.asked_to_stop && !is_failure_of_its_own(ended, verdict))
    return Stopped{.reason = *ended.asked_to_stop};
  return failed(ended, verdict ? *verdict : verdict_by_exit(ended));
}

Outcome after_request(Outcome outcome, const std::optional<std::string>& asked_to_stop) {
  const auto* failure = std::get_if<Failed>(&outcome);
  if (failure == nullptr || !asked_to_stop || failure->cause != FailureClass::kUser) return outcome;
  return Stopped{.reason = *asked_to_stop};
}

LogPolicy policy_of(const std::vector<LogRule>& own) {
  static const LogPolicy kShipped = [] {
    auto shipped = LogPolicy::make(with_shipped({}));
    STRATA_ASSERT(shipped.has_value());
    return std::move(*shipped);
  }();
  if (own.empty()) return kShipped;
  auto policy = LogPolicy::make(with_shipped(own));
  if (policy) return std::move(*policy);
  log_warning("worker", "{}: the shipped rules alone are used", policy.error().message);
  return kShipped;
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

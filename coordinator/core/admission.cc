#include "coordinator/core/admission.h"

#include <algorithm>
#include <cmath>

#include "base/utf8.h"

namespace strata::coordinator {
namespace {

bool are_names(const std::vector<std::string>& texts) {
  return texts.size() <= kLabelsMax && std::all_of(texts.begin(), texts.end(), is_name);
}

bool is_count(std::int64_t value, std::int64_t least) {
  return value >= least && value <= kCountMax;
}

Status named(const TaskSpec& task, std::string_view what) {
  return fail(ErrorCode::kInvalid, "{} {} {}", for_people(task.stage), task.key.brief(), what);
}

}  // namespace

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameBytesMax && is_valid_utf8(text);
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && name.front() != '.' &&
         name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             std::string_view::npos;
}

std::string for_people(std::string_view text) {
  const bool cut = text.size() > kReasonBytesMax;
  std::string clean = is_valid_utf8(text) && !cut
                          ? std::string(text)
                          : encode_utf8(decode_utf8_lossy(text.substr(0, kReasonBytesMax)));
  if (cut) clean += " …";
  return clean;
}

namespace {

bool are_resources(const Resources& needs) {
  return is_count(needs.slots, 1) && is_count(needs.ranks, 0) && is_count(needs.threads, 1) &&
         are_names(needs.labels) && needs.memory_mb >= 0 && needs.memory_mb <= kMemoryMbMax &&
         needs.expected_ms >= 0 && needs.expected_ms <= kLifetimeMsMax;
}

bool is_text(const std::string& text) {
  return text.size() <= kReasonBytesMax && is_valid_utf8(text);
}

bool are_rules(const std::vector<LogRule>& rules) {
  return rules.size() <= kLogRulesMax && std::all_of(rules.begin(), rules.end(), [](const auto& r) {
           return is_name(r.name) && is_text(r.pattern);
         });
}

bool are_versions(const TaskSpec& task) {
  const bool texts = task.versions.size() <= kRecordedMax &&
                     std::all_of(task.versions.begin(), task.versions.end(), [](const auto& v) {
                       return is_text(v.first) && is_text(v.second);
                     });
  return texts && std::all_of(task.versions_in_key.begin(), task.versions_in_key.end(),
                              [&](const auto& name) { return task.versions.contains(name); });
}

}  // namespace

Status check_hello(const Hello& hello) {
  if (!is_name(hello.name) || hello.session == 0 || !is_count(hello.slots, 1) ||
      hello.memory_mb < 0 || hello.memory_mb > kMemoryMbMax) {
    return fail(ErrorCode::kInvalid,
                "a worker needs a name (UTF-8, at most {} bytes), a session and 1 to {} slots",
                kNameBytesMax, kCountMax);
  }
  if (!are_names(hello.labels) || hello.build.size() > kNameBytesMax ||
      !is_valid_utf8(hello.build)) {
    return fail(ErrorCode::kInvalid,
                "a worker has at most {} labels; they and its build are UTF-8 of at most {} bytes",
                kLabelsMax, kNameBytesMax);
  }
  return {};
}

Status check_task(const TaskSpec& task) {
  if (task.key != compute_key(task))
    return named(task, "carries a key that is not the hash of its content");
  const Resources& needs = task.resources;
  if (!is_name(task.stage) || task.program.argv.empty() || task.lease_ms < 1 ||
      task.lease_ms > kLeaseMsMax || !is_count(needs.slots, 1)) {
    return named(task, "needs a stage, a program, at least one slot and a lease");
  }
  if (!are_resources(needs) || !are_names(task.secrets) ||
      !is_count(task.retry.user_failures_max, 0) || !is_count(task.retry.infra_failures_max, 0)) {
    return named(task, "has ranks, threads, labels, memory, secrets or retries out of range");
  }
  if (task.fallbacks.size() > kFallbacksMax || task.grace_ms < 0 || task.grace_ms > kLeaseMsMax ||
      !std::all_of(task.fallbacks.begin(), task.fallbacks.end(), are_resources)) {
    return named(task, "has fallbacks or a grace out of range");
  }
  if (!are_rules(task.log_rules) || !are_versions(task))
    return named(task, "has log rules or versions that are too many, too long or not UTF-8");
  if (!std::isfinite(task.flops) || task.flops < 0)
    return named(task, "has an estimate of operations (flops) that is negative or no number");
  for (const std::string& argument : task.program.argv) {
    if (!is_valid_utf8(argument) || argument.find('\0') != std::string::npos)
      return named(task, "has a program argument that is not UTF-8");
  }
  if (!is_valid_utf8(task.program.name) ||
      !std::all_of(task.neutral.begin(), task.neutral.end(), is_valid_utf8)) {
    return named(task, "has a program or a neutral parameter whose name is not UTF-8");
  }
  constexpr std::string_view kPlain = "letters, digits, '_', '-' and '.' only";
  for (const std::string& output : task.outputs) {
    if (is_plain_name(output)) continue;
    return named(task, fmt::format("has an output \"{}\": {}", for_people(output), kPlain));
  }
  for (const TaskInput& input : task.inputs) {
    if (!is_plain_name(input.name))
      return named(task, fmt::format("has an input \"{}\": {}", for_people(input.name), kPlain));
    if (!is_plain_name(input.output)) {
      return named(task,
                   fmt::format("takes an output \"{}\": {}", for_people(input.output), kPlain));
    }
  }
  return {};
}

namespace {

Status check_search_definition(const SearchDefinition& search) {
  const bool named = is_name(search.stage) && is_name(search.metric);
  bool ascending = !search.rungs.empty() && search.rungs.size() <= kRungsMax;
  for (std::size_t i = 0; i < search.rungs.size(); ++i)
    ascending = ascending && search.rungs[i] > (i == 0 ? 0 : search.rungs[i - 1]);
  if (named && ascending && search.reduction >= 2 && search.reduction <= kReductionMax &&
      is_count(search.others_min, 1)) {
    return {};
  }
  return fail(
      ErrorCode::kInvalid,
      "its search needs a stage, a metric, 1 to {} ascending rungs, a reduction within 2 to "
      "{} and at least one other",
      kRungsMax, kReductionMax);
}

}  // namespace

Status check_options(const SweepOptions& options) {
  if (options.search) STRATA_CHECK_OK(check_search_definition(*options.search));
  const bool user = options.user.empty() || is_name(options.user);
  if (user && options.weight >= 1 && options.weight <= kWeightMax && is_count(options.slots_max, 0))
    return {};
  return fail(ErrorCode::kInvalid,
              "its user is no name, its weight not within 1 to {}, or its slots_max not within 0 "
              "to {}",
              kWeightMax, kCountMax);
}

Status check_run(const RunSpec& run) {
  if (!is_text(run.cell)) {
    return fail(ErrorCode::kInvalid,
                "run {} has a cell label that is not UTF-8 of at most {} bytes", run.key.brief(),
                kReasonBytesMax);
  }
  for (const auto& [stage, task] : run.tasks) {
    if (is_name(stage)) continue;
    return fail(ErrorCode::kInvalid, "run {} has a stage \"{}\": a name is UTF-8 of 1 to {} bytes",
                run.key.brief(), for_people(stage), kNameBytesMax);
  }
  return {};
}

ArtifactRef admitted(ArtifactRef ref) {
  ref.bytes = std::clamp<std::int64_t>(ref.bytes, 0, kArtifactSizeMax);
  ref.files = std::clamp<std::int64_t>(ref.files, 0, kArtifactSizeMax);
  return ref;
}

namespace {

// What scores.json could have said (parse_scores).
bool is_score(const Score& score) {
  return is_name(score.name) && is_text(score.unit) && is_text(score.better) &&
         is_text(score.judge) && score.items.size() <= kScoreItemsMax &&
         std::all_of(score.items.begin(), score.items.end(),
                     [](const auto& item) { return is_valid_utf8(item.first); });
}

struct Admit {
  const std::vector<std::string>& outputs;
  const std::vector<TaskInput>& inputs;
  Outcome operator()(Succeeded& done) const {
    for (const std::string& output : outputs) {
      if (done.artifacts.contains(output)) continue;
      return Failed{.cause = FailureClass::kUser,
                    .reason = "it ended well but made no output \"" + output + "\""};
    }
    std::erase_if(done.artifacts, [&](const auto& made) {
      return std::find(outputs.begin(), outputs.end(), made.first) == outputs.end();
    });
    for (auto& [name, ref] : done.artifacts) ref = admitted(ref);
    std::map<std::string, std::string> recorded;
    for (const auto& [name, text] : done.recorded) {
      if (recorded.size() < kRecordedMax && is_name(name)) recorded[name] = for_people(text);
    }
    done.recorded = std::move(recorded);
    std::erase_if(done.consumed, [&](const auto& read) {
      return std::none_of(inputs.begin(), inputs.end(),
                          [&](const TaskInput& input) { return input.name == read.first; });
    });
    std::erase_if(done.scores, [](const Score& score) { return !is_score(score); });
    if (done.scores.size() > kScoresMax) done.scores.resize(kScoresMax);
    return std::move(done);
  }
  Outcome operator()(auto& o) const {
    o.reason = for_people(o.reason);
    if constexpr (requires { o.signature; }) o.signature = for_people(o.signature);
    return std::move(o);
  }
};

}  // namespace

Outcome admitted(Outcome outcome, const std::vector<std::string>& outputs,
                 const std::vector<TaskInput>& inputs) {
  return std::visit(Admit{outputs, inputs}, outcome);
}

}  // namespace strata::coordinator

// policy test, policy list: a log policy tried on a log, without a coordinator.
#include <filesystem>

#include "base/files.h"
#include "cli/commands.h"
#include "cli/policy_report.h"
#include "schema/reading.h"
#include "schema/yaml.h"

namespace strata::cli {

namespace {

// What was named is wrong: exit code 2, because 1 says that no rule takes a line.
Error as_usage(const Error& error) { return {ErrorCode::kInvalid, error.message}; }

Result<std::vector<LogRule>> rules_of_stage(const PolicyOptions& options) {
  if (options.sweep.empty() && options.stage.empty()) return std::vector<LogRule>{};
  if (options.sweep.empty())
    return fail(ErrorCode::kInvalid, "policy: --stage {} of which sweep? name it with --sweep FILE",
                options.stage);
  const auto definition = read_sweep(
      options.sweep, [](const std::string& path) { return read_file(path, kYamlBytesMax); });
  if (!definition) return tl::unexpected(as_usage(definition.error()));
  std::vector<std::string> names;
  for (const StageDefinition& stage : definition->stages) {
    if (stage.name == options.stage) return stage.log_rules;
    names.push_back(stage.name);
  }
  if (options.stage.empty())
    return fail(ErrorCode::kInvalid, "policy: which stage of {}? --stage is one of {}",
                options.sweep, fmt::join(names, ", "));
  return fail(ErrorCode::kInvalid, "policy: {} has no stage {}{}", options.sweep, options.stage,
              suggestion(options.stage, names));
}

}  // namespace

Result<int> run_policy(Context& context, const PolicyOptions& options) {
  STRATA_TRY(const std::vector<LogRule> own, rules_of_stage(options));
  STRATA_TRY(const LogPolicy policy, LogPolicy::make(with_shipped(own)));
  if (options.action == "list") {
    if (!options.file.empty())
      return fail(ErrorCode::kInvalid, "policy list: takes no FILE; policy test {} tries it",
                  options.file);
    context.answer(rules_value(policy, own.size()),
                   rules_text(policy, own.size(), context.palette, context.width));
    return kExitOk;
  }
  if (options.file.empty())
    return fail(ErrorCode::kInvalid, "policy test: which log? policy test FILE");
  const auto log = read_file(options.file);
  if (!log) return tl::unexpected(as_usage(log.error()));
  const PolicyTrial trial = try_policy(policy, *log);
  context.answer(trial_value(policy, trial),
                 trial_text(policy, trial, options.file, context.palette, context.width));
  return trial.verdict ? kExitOk : kExitFailed;
}

}  // namespace strata::cli

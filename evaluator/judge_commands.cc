#include "evaluator/judge_commands.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/torch/archive.h"
#include "base/torch/runtime.h"
#include "evaluator/scoring.h"
#include "evaluator/text_commands.h"
#include "evaluator/torch_judges.h"

namespace strata::evaluator {
namespace {

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitStopped = 4;
constexpr const char* kRoom = "evaluator";

struct Attempt {
  std::filesystem::path folder{};  // for progress.jsonl, scores.json and checkpoints
  Object environment{};            // what the report says beside the libraries
  bool by_hand = false;            // the folder stays and is used again: no checkpoints beside it
};

Result<ScoringEnd> score(const ScoreSpec& spec, const Attempt& attempt,
                         const std::function<bool()>& stop_requested) {
  STRATA_CHECK_OK(set_up_torch(spec.threads));
  STRATA_TRY(const Judges judges, open_judges(spec));
  if (attempt.by_hand) STRATA_CHECK_OK(prepare_out(attempt.folder));
  const SystemClock clock;
  ScoringContext context{
      .attempt = attempt.folder,
      .stop_requested = stop_requested,
      .seconds = [&] { return std::chrono::duration<double>(clock.now().since_boot()).count(); },
      .environment = attempt.environment,
      .checkpoints = !attempt.by_hand};
  context.environment.merge(
      Object{{"libtorch", libtorch_version()}, {"device", "cpu"}, {"dtype", "float32"}});
  return run_scoring(spec, judges, context);
}

Result<ScoringEnd> score_file(const std::filesystem::path& path,
                              const std::function<bool()>& stop_requested) {
  STRATA_TRY(const ScoreSpec spec, read_score_spec(path));
  return score(spec, {.folder = std::filesystem::current_path()}, stop_requested);
}

// By hand the archives that lie there are the ones that are meant; the report has their identities.
Status take_identities(ScoreSpec& spec) {
  for (std::optional<JudgeChoice>* choice : {&spec.asr, &spec.speaker, &spec.mos}) {
    if (!*choice) continue;
    STRATA_TRY(const auto path, Archive::path_of(spec.models, (*choice)->name));
    STRATA_TRY(const ArchiveInfo info, Archive::describe(path));
    (*choice)->identity = info.identity;
  }
  return {};
}

// What there is to print; nothing when it was stopped first.
Result<std::optional<std::string>> score_list(const ScoreListOptions& options,
                                              const std::function<bool()>& stop_requested) {
  STRATA_TRY(ListTask task, prepare_list_task(options));
  STRATA_CHECK_OK(take_identities(task.spec));
  for (const auto& warning : task.warnings) log_warning(kRoom, "{}", warning);
  STRATA_TRY(const ScoringEnd end,
             score(task.spec,
                   {.folder = task.spec.report, .environment = task.environment, .by_hand = true},
                   stop_requested));
  if (end == ScoringEnd::kStopped) return std::optional<std::string>();
  STRATA_TRY(std::string text, scores_text(task, options.json));
  return std::optional(std::move(text));
}

Result<std::vector<std::filesystem::path>> archives_in(const std::filesystem::path& models) {
  std::error_code error;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(models, error)) {
    if (entry.path().extension() == ".pt" && !entry.path().filename().string().starts_with('.'))
      paths.push_back(entry.path());
  }
  if (error)
    return fail(ErrorCode::kNotFound, "folder of exported models {}: {}", models.string(),
                error.message());
  std::ranges::sort(paths);
  return paths;
}

int report_error(const Error& error) {
  log_error(kRoom, "{}", error.message);
  return exit_code_of(error);
}

}  // namespace

int score_command(const std::filesystem::path& spec, const std::function<bool()>& stop_requested) {
  const auto end = score_file(spec, stop_requested);
  if (!end) return report_error(end.error());
  if (*end == ScoringEnd::kDone) return kExitDone;
  log_info(kRoom, "stopped on request; a later attempt goes on from the checkpoint");
  return kExitStopped;
}

int score_list_command(const ScoreListOptions& options,
                       const std::function<bool()>& stop_requested) {
  const auto text = score_list(options, stop_requested);
  if (!text) return report_error(text.error());
  if (*text) {
    fmt::print("{}", **text);
    return std::fflush(stdout) == 0 ? kExitDone : kExitFailed;
  }
  log_info(kRoom, "stopped on request; the same command goes on from here");
  return kExitStopped;
}

int judges_list_command(const std::filesystem::path& models, bool json) {
  const auto paths = archives_in(models);
  if (!paths) return report_error(paths.error());
  Array list;
  int exit = kExitDone;
  for (const auto& path : *paths) {
    const auto info = Archive::describe(path);
    if (!info) {
      exit = std::max(exit, report_error(info.error()));
      continue;
    }
    list.emplace_back(Object{{"name", info->name},
                             {"role", info->role},
                             {"family", info->family},
                             {"version", info->version},
                             {"interface", info->interface},
                             {"identity", info->identity}});
    if (!json)
      fmt::print("{:<24} {:<8} {:<28} {:<12} {}\n", fmt::format("{}@{}", info->name, info->version),
                 info->role, info->family, info->interface, info->identity);
  }
  if (json) fmt::print("{}\n", to_pretty_json(list));
  return exit;
}

int judges_verify_command(const std::filesystem::path& models,
                          const std::vector<std::string>& names, int threads) {
  if (const auto ready = set_up_torch(threads); !ready) return report_error(ready.error());
  std::vector<std::filesystem::path> paths;
  for (const auto& name : names) {
    const auto path = Archive::path_of(models, name);
    if (!path) return report_error(path.error());
    paths.push_back(*path);
  }
  if (names.empty()) {
    auto all = archives_in(models);
    if (!all) return report_error(all.error());
    paths = std::move(*all);
  }
  if (paths.empty())
    return report_error(
        {ErrorCode::kNotFound, fmt::format("{} holds no exported model", models.string())});
  int exit = kExitDone;
  for (const auto& path : paths) {
    const auto verified = verify_judge(path);
    if (!verified) {
      fmt::print("{}: FAILED: {}\n", path.stem().string(), verified.error().message);
      exit = kExitFailed;
    } else {
      fmt::print("{}: ok ({})\n", path.stem().string(),
                 *verified ? "self-test and sanity check" : "self-test");
    }
    std::fflush(stdout);
  }
  return exit;
}

}  // namespace strata::evaluator

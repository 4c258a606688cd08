// list, status, show, explain, workers, drain, cancel, retry, logs.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "cli/commands.h"
#include "cli/query.h"
#include "cli/render/progress.h"
#include "cli/show_view.h"
#include "cli/view.h"

namespace strata::cli {

namespace {

constexpr double kFollowSeconds = 0.5;
constexpr std::size_t kLogChunk = 1U << 16U;

bool is_hex_prefix(const std::string& text) {
  return text.size() >= 4 && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

constexpr std::size_t kCandidatesNamed = 6;
constexpr std::size_t kCandidateDigits = 12;

// A question about a run or a task. Where its digits are too few, the tasks that begin with them
// are named; one of the candidates may be a run, which the coordinator lists by no prefix.
Result<Value> ask_about(Context& context, const std::string& verb, const std::string& prefix) {
  auto answer = context.ask(verb, Object{{"prefix", prefix}});
  if (answer || answer.error().code != ErrorCode::kConflict) return answer;
  const auto tasks = context.ask("tasks", Object{{"prefix", prefix}});
  if (!tasks) return answer;
  const Array& found = array_at(*tasks, "tasks");
  std::vector<std::string> named;
  for (std::size_t i = 0; i < std::min(found.size(), kCandidatesNamed); ++i) {
    named.push_back(text_at(found[i], "stage") + " " +
                    text_at(found[i], "task").substr(0, kCandidateDigits));
  }
  if (found.size() > named.size())
    named.push_back(fmt::format("and {} more", found.size() - named.size()));
  if (found.size() < 2) named.emplace_back("a run");
  return fail(answer.error().code, "{}; it may be {}", answer.error().message,
              fmt::join(named, ", "));
}

}  // namespace

Result<int> run_list(Context& context) {
  STRATA_TRY(const Value answer, context.ask("sweeps"));
  context.answer(answer, sweeps_as_text(answer, context.palette, context.clock.wall().unix_ms));
  return kExitOk;
}

Result<int> run_status(Context& context) {
  STRATA_TRY(const Value answer, context.ask("status"));
  context.answer(answer, status_as_text(answer, context.palette, context.clock.wall().unix_ms));
  return kExitOk;
}

namespace {

// Of the first sweep that a run is in.
std::vector<std::string> stages_of_run(Context& context, const Value& run) {
  for (const Value& sweep : array_at(run, "sweeps"))
    return stages_of(context, text_at(sweep, "sweep"));
  return {};
}

}  // namespace

Result<int> run_show(Context& context, const std::string& prefix) {
  STRATA_TRY(const Value answer, ask_about(context, "show", prefix));
  context.answer(answer, show_as_text(answer, context.palette, stages_of_run(context, answer)));
  return kExitOk;
}

Result<int> run_explain(Context& context, const std::string& prefix) {
  STRATA_TRY(const Value answer, ask_about(context, "explain", prefix));
  std::vector<std::string> order;
  if (text_at(answer, "kind") == "run") {
    const auto run = ask_about(context, "show", prefix);
    if (run) order = stages_of_run(context, *run);
  }
  context.answer(answer, explain_as_text(answer, context.palette, order));
  return kExitOk;
}

Result<int> run_workers(Context& context) {
  STRATA_TRY(const Value answer, context.ask("workers"));
  context.answer(answer, workers_as_text(answer, context.palette));
  return kExitOk;
}

namespace {

// A number, or a name that `workers` shows. A name comes first: it may be a number, too.
const Value* worker_called(const Value& known, const std::string& word) {
  const Value* by_number = nullptr;
  for (const Value& entry : array_at(known, "workers")) {
    if (text_at(entry, "name") == word) return &entry;
    if (brief_text(at(entry, "worker")) == word) by_number = &entry;
  }
  return by_number;
}

}  // namespace

Result<int> run_drain(Context& context, const std::string& worker) {
  STRATA_TRY(const Value known, context.ask("workers"));
  const Value* entry = worker_called(known, worker);
  if (entry == nullptr)
    return fail(ErrorCode::kNotFound, "no worker '{}'; strata workers lists them", worker);
  STRATA_TRY(const Value answer, context.ask("drain", Object{{"worker", at(*entry, "worker")}}));
  context.answer(
      answer, fmt::format("worker {} gets nothing new; what it runs goes on. It stays connected: "
                          "stop it when it is idle, or start it again to undo this\n",
                          worker));
  return kExitOk;
}

Result<int> run_release(Context& context, const std::string& worker) {
  // A quarantine is of a name, also of one that is not connected now.
  STRATA_TRY(const Value known, context.ask("workers"));
  const Value* entry = worker_called(known, worker);
  const std::string name = entry == nullptr ? worker : text_at(*entry, "name");
  STRATA_TRY(const Value answer, context.ask("release", Object{{"worker", name}}));
  context.answer(answer, fmt::format("worker {} is out of quarantine\n", name));
  return kExitOk;
}

Result<int> run_cancel(Context& context, const std::string& sweep) {
  STRATA_TRY(const Value answer, context.ask("cancel", Object{{"sweep", sweep}}));
  context.answer(
      answer,
      fmt::format("cancelled {}: {} no longer wanted by it, {} stopping; results stay\n", sweep,
                  plural(integer_at(answer, "withdrawn"), "task"), integer_at(answer, "stopping")));
  return kExitOk;
}

namespace {

constexpr const char* kNothingToRetry =
    "nothing to retry: none of these tasks failed or was cancelled (a pruned one is named by "
    "itself)\n";

// The tasks of these runs that failed or were cancelled; of a run that a person names, also those
// that its search has pruned.
Array tasks_to_revive(const Array& runs, bool pruned_too = false) {
  std::set<std::string> keys;
  for (const Value& run : runs) {
    for (const auto& [stage, value] : object_at(run, "stages")) {
      const std::string state = text_at(value, "state");
      const bool pruned = pruned_too && state == "pruned";
      if (state == "failed" || state == "cancelled" || pruned) keys.insert(text_at(value, "task"));
    }
  }
  Array out;
  for (const std::string& key : keys) out.push_back(key);
  return out;
}

Result<Value> retry_question(Context& context, const std::string& target,
                             const std::string& where) {
  if (!where.empty()) STRATA_CHECK_OK(read_query(where).map([](const Query&) {}));
  STRATA_TRY(const Value sweeps, context.ask("sweeps"));
  const Array& known = array_at(sweeps, "sweeps");
  const bool is_sweep = std::any_of(known.begin(), known.end(),
                                    [&](const Value& s) { return text_at(s, "sweep") == target; });
  if (is_sweep && where.empty()) return Value(Object{{"sweep", target}});
  if (is_sweep) {
    STRATA_TRY(const Value answer,
               context.ask("search", Object{{"sweep", target}, {"query", where}, {"whole", true}}));
    for (const Value& name : array_at(answer, "unknown_names"))
      return fail(ErrorCode::kNotFound, "--where: no run has a parameter or a score called {}",
                  brief_text(name));
    Array tasks = tasks_to_revive(array_at(answer, "runs"));
    if (tasks.empty()) return Value(Object{{"tasks", Array{}}});
    return Value(Object{{"sweep", target}, {"tasks", std::move(tasks)}});
  }
  if (!is_hex_prefix(target))
    return fail(ErrorCode::kNotFound, "no sweep '{}'; strata list shows them", target);
  if (!where.empty())
    return fail(ErrorCode::kInvalid, "--where chooses among the runs of a sweep, and {} is none",
                target);
  STRATA_TRY(const Value shown, ask_about(context, "show", target));
  if (text_at(shown, "kind") == "run")
    return Value(Object{{"tasks", tasks_to_revive({shown}, true)}});
  const std::string key = text_at(shown, "task", text_at(at(shown, "spec"), "key"));
  return Value(Object{{"tasks", Array{key}}});
}

}  // namespace

Result<int> run_retry(Context& context, const std::string& target, const std::string& where) {
  STRATA_TRY(const Value question, retry_question(context, target, where));
  const Value& tasks = at(question, "tasks");
  if (tasks.if_array() != nullptr && tasks.if_array()->empty()) {
    context.answer(Object{{"revived", 0}}, kNothingToRetry);
    return kExitOk;
  }
  STRATA_TRY(const Value answer, context.ask("retry", question));
  const std::int64_t revived = integer_at(answer, "revived");
  context.answer(answer, revived == 0 ? std::string(kNothingToRetry)
                                      : fmt::format("revived {}\n", plural(revived, "task")));
  return kExitOk;
}

namespace {

struct LogPlace {
  std::string task{};
  std::int64_t attempt = 0;
  std::string folder{};
  bool ended = false;
};

// The task whose log tells most: of a run the one that failed, else the one that runs, else the
// last that ended.
std::string task_of_interest(const Value& run) {
  static constexpr const char* kOrder[] = {"failed",   "running", "leased",
                                           "diverged", "pruned",  "succeeded"};
  std::vector<std::pair<std::string, std::string>> stages;  // state, task
  for (const auto& [stage, value] : object_at(run, "stages"))
    stages.emplace_back(text_at(value, "state"), text_at(value, "task"));
  for (const Value& value : array_at(run, "stages"))
    stages.emplace_back(text_at(value, "state"), text_at(value, "task"));
  for (const char* wanted : kOrder) {
    const auto found = std::find_if(stages.rbegin(), stages.rend(),
                                    [&](const auto& stage) { return stage.first == wanted; });
    if (found != stages.rend()) return found->second;
  }
  return "";
}

// A worker is called "host:folder" unless its owner gave it another name, and the folder of an
// attempt that has not ended lies below it; the attempt itself tells where only at its end.
std::string guessed_folder(const std::string& worker, const std::string& task,
                           std::int64_t attempt) {
  const std::size_t at_folder = worker.find(":/");
  if (at_folder == std::string::npos) return "";
  const auto key = parse_digest<TaskKey>(task);
  if (!key) return "";
  const AttemptId id{.task = *key, .number = static_cast<std::uint32_t>(attempt)};
  return fmt::format("{}/attempts/{}", worker.substr(at_folder + 1), id.folder_name());
}

Result<LogPlace> log_place(Context& context, const std::string& prefix) {
  STRATA_TRY(Value shown, ask_about(context, "show", prefix));
  if (text_at(shown, "kind") == "run") {
    const std::string task = task_of_interest(shown);
    if (task.empty())
      return fail(ErrorCode::kNotFound, "no task of run {} has started yet: nothing is logged",
                  prefix);
    STRATA_TRY(shown, context.ask("show", Object{{"prefix", task}}));
  }
  const Array& attempts = array_at(shown, "attempts");
  if (attempts.empty())
    return fail(ErrorCode::kNotFound, "task {} has not started yet: nothing is logged", prefix);
  const auto newest =
      std::max_element(attempts.begin(), attempts.end(), [](const Value& a, const Value& b) {
        return integer_at(a, "attempt") < integer_at(b, "attempt");
      });
  LogPlace out{.task = text_at(shown, "task", text_at(at(shown, "spec"), "key")),
               .attempt = integer_at(*newest, "attempt")};
  out.folder = text_at(*newest, "folder");
  if (out.folder.empty())
    out.folder = guessed_folder(text_at(*newest, "worker"), out.task, out.attempt);
  out.ended = integer_at(*newest, "ended_ms") > 0;
  if (out.folder.empty()) {
    return fail(ErrorCode::kNotFound,
                "the folder of attempt {} of task {} is not known here; it lies with worker {}",
                out.attempt, out.task.substr(0, 8), brief_text(at(*newest, "worker")));
  }
  return out;
}

}  // namespace

Result<int> run_logs(Context& context, const std::string& prefix, bool follow) {
  STRATA_TRY(LogPlace place, log_place(context, prefix));
  const std::filesystem::path file = std::filesystem::path(place.folder) / "log.txt";
  if (context.json) {
    context.answer(Object{{"task", place.task},
                          {"attempt", place.attempt},
                          {"folder", place.folder},
                          {"log", file.string()}},
                   "");
    return kExitOk;
  }
  std::ifstream log(file, std::ios::binary);
  if (!log) {
    return fail(ErrorCode::kUnavailable,
                "{} cannot be read here: it lies on the machine of the worker, or was cleared away",
                file.string());
  }
  std::string chunk(kLogChunk, '\0');
  while (true) {
    while (log.read(chunk.data(), static_cast<std::streamsize>(chunk.size())), log.gcount() > 0) {
      context.print(
          printable(std::string_view(chunk).substr(0, static_cast<std::size_t>(log.gcount()))));
    }
    if (!follow || place.ended) return kExitOk;
    if (!context.wait(kFollowSeconds)) return context.interrupted();
    log.clear();
    STRATA_TRY(const LogPlace now, log_place(context, place.task));
    // What it still wrote is read once more.
    place.ended = now.ended || now.attempt != place.attempt;
  }
}

}  // namespace strata::cli

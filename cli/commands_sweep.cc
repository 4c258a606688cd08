// plan, submit, watch.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>

#include "base/host.h"
#include "base/json.h"
#include "cli/commands.h"
#include "cli/definition.h"
#include "cli/load_sweep.h"
#include "cli/render/progress.h"
#include "cli/view.h"
#include "cli/watch_view.h"

namespace strata::cli {

namespace {

constexpr double kRedrawSeconds = 1.0;
constexpr std::chrono::minutes kWatchPatience{10};
constexpr double kLineSeconds = 10.0;  // between plain lines when nothing ends meanwhile

Value plan_question(const SweepDefinition& definition, const Expansion& expansion) {
  Array tasks;
  for (const TaskSpec& task : expansion.tasks) tasks.push_back(task.key.hex());
  Array runs;
  for (const RunSpec& run : expansion.runs) runs.push_back(run.key.hex());
  return Object{{"sweep", expansion.sweep},
                {"scope", scope_of(definition, expansion)},
                {"tasks", std::move(tasks)},
                {"runs", std::move(runs)}};
}

}  // namespace

Result<int> run_plan(Context& context, const std::string& file, const PlanOptions& options) {
  STRATA_TRY(const LoadedSweep sweep,
             load_sweep(context, file, options.unfrozen ? Code::kUnfrozen : Code::kLook));
  Value answer;
  auto asked = context.ask("plan", plan_question(sweep.definition, sweep.expansion));
  if (asked) {
    answer = std::move(*asked);
  } else if (asked.error().code != ErrorCode::kNotFound &&
             asked.error().code != ErrorCode::kUnavailable) {
    return tl::unexpected(asked.error());  // it is there, and says no
  }
  PlanRoom room;
  if (!answer.is_null()) {
    const auto workers = context.ask("workers");
    const auto status = context.ask("status");
    if (workers) room = PlanRoom(*workers, status ? *status : Value());
  }
  const PlanReport plan =
      make_plan(sweep.definition, sweep.expansion, answer, options, sweep.code, room);
  context.answer(plan_as_json(plan),
                 plan_as_text(plan, context.palette, context.clock.wall().unix_ms));
  return kExitOk;
}

namespace {

struct Submitted {
  std::int64_t created = 0;
  std::int64_t kept = 0;
  std::int64_t revived = 0;
  std::int64_t runs = 0;
  std::int64_t withdrawn = 0;  // of cells that the file no longer has, not begun
  std::int64_t generation = 0;
};

// A coordinator that cannot write answers no submission, and yet `status`, which knows why.
Error with_its_state(Context& context, Error error) {
  if (error.code != ErrorCode::kUnavailable) return error;
  const auto status = context.ask("status");
  const std::string dispatch = status ? text_at(*status, "dispatch", "running") : "running";
  if (dispatch != "running") error.message += ". Its dispatch is " + dispatch;
  return error;
}

Result<Submitted> send(Context& context, const std::vector<SubmitTasks>& batches) {
  STRATA_TRY(Client* const client, context.client());
  Submitted out;
  const auto answers = client->submit_all(batches);
  if (!answers) return tl::unexpected(with_its_state(context, answers.error()));
  for (const Value& answer : *answers) {
    out.created += integer_at(answer, "created");
    out.kept += integer_at(answer, "kept");
    out.revived += integer_at(answer, "revived");
    out.runs += integer_at(answer, "runs");
    out.withdrawn += integer_at(answer, "withdrawn");
    out.generation = integer_at(answer, "generation");
  }
  return out;
}

std::string submitted_text(const std::string& sweep, const Submitted& counts) {
  const std::string withdrawn =
      counts.withdrawn == 0
          ? ""
          : fmt::format("{} of dropped cells had not begun and will not: results stay\n",
                        plural(counts.withdrawn, "task"));
  if (counts.created == 0 && counts.revived == 0) {
    return fmt::format("nothing is new: all {} of {} exist ({})\n", plural(counts.kept, "task"),
                       sweep, plural(counts.runs, "run")) +
           withdrawn;
  }
  return fmt::format("submitted {} (generation {}): {}; tasks: {} new, {} kept, {} revived\n",
                     sweep, counts.generation, plural(counts.runs, "run"),
                     format_count(counts.created), format_count(counts.kept),
                     format_count(counts.revived)) +
         withdrawn;
}

Value submitted_json(const std::string& sweep, const Submitted& counts) {
  return Object{{"sweep", sweep},
                {"generation", counts.generation},
                {"created", counts.created},
                {"kept", counts.kept},
                {"revived", counts.revived},
                {"runs", counts.runs},
                {"withdrawn", counts.withdrawn}};
}

}  // namespace

Result<int> run_submit(Context& context, const SubmitOptions& options) {
  STRATA_TRY(const LoadedSweep sweep,
             load_sweep(context, options.file, options.unfrozen ? Code::kUnfrozen : Code::kFreeze));
  const Value record = definition_record(sweep.definition, sweep.expansion, sweep.file);
  const auto sent = send(
      context, submission(sweep.definition, sweep.expansion, record, options.if_plan, user_name()));
  if (!sent) {
    if (options.if_plan.empty() || sent.error().code != ErrorCode::kConflict)
      return tl::unexpected(sent.error());
    context.answer(Object{{"error", sent.error().message}, {"code", name_of(sent.error().code)}},
                   "refused: " + sent.error().message + "\nlook again with: strata plan " +
                       options.file + "\n");
    return kExitWorldMoved;
  }
  if (!options.wait) {
    context.answer(submitted_json(sweep.expansion.sweep, *sent),
                   submitted_text(sweep.expansion.sweep, *sent));
    return kExitOk;
  }
  if (!context.json) context.print(submitted_text(sweep.expansion.sweep, *sent));
  return run_watch(context, sweep.expansion.sweep, false);
}

namespace {

Array stage_entries(Context& context, const std::string& sweep) {
  const auto answer = context.ask("sweeps", Object{{"sweep", sweep}});
  if (!answer) return {};
  for (const Value& entry : array_at(*answer, "sweeps")) {
    if (text_at(entry, "sweep") == sweep) return array_at(at(entry, "definition"), "stages");
  }
  return {};
}

}  // namespace

std::vector<std::string> stages_of(Context& context, const std::string& sweep) {
  std::vector<std::string> out;
  for (const Value& stage : stage_entries(context, sweep)) out.push_back(text_at(stage, "name"));
  return out;
}

namespace {

// Redraws over itself on a terminal; elsewhere a line now and then, and one whenever a task has
// ended.
class Display {
 public:
  // `stages`: of the sweep's definition.
  Display(Context& context, const Array& stages) : context_(context) {
    for (const Value& stage : stages) {
      stages_.push_back(text_at(stage, "name"));
      if (const std::int64_t slots = integer_at(stage, "slots"); slots > 0)
        beside_.slots[stages_.back()] = slots;
    }
  }

  // Something has been shown: the sweep is there, and the coordinator did answer.
  [[nodiscard]] bool shown() const { return shown_; }
  void say(const std::string& text) {
    if (!context_.json) context_.print(text + "\n");
    lines_ = 0;  // what is drawn next stands below
  }

  void show(const Value& watch, bool last) {
    shown_ = true;
    rates_.look(watch);
    beside_.ended_per_second = rates_.per_second();
    if (context_.json) {
      context_.print(to_canonical_json(watch) + "\n");
      return;
    }
    if (context_.terminal) {
      std::string out;
      if (lines_ > 0) out = fmt::format("\x1b[{}A\x1b[0J", lines_);  // up, and clear to the end
      const TerminalSize size =
          context_.size ? context_.size() : TerminalSize{.columns = context_.width};
      std::string text = watch_as_text(watch, stages_, context_.palette, size.columns, beside_);
      if (!last) text = fit_height(text, size.lines);
      lines_ = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
      context_.print(out + text);
      return;
    }
    const TaskCounts counts = counts_of(at(watch, "tasks"));
    const std::int64_t now = context_.clock.wall().unix_ms;
    const bool due = static_cast<double>(now - printed_ms_) >= kLineSeconds * 1000;
    if (!last && counts.ended() == ended_ && !due) return;
    ended_ = counts.ended();
    printed_ms_ = now;
    context_.print(last ? watch_as_text(watch, stages_, context_.palette, kUncut, beside_)
                        : watch_as_line(watch, beside_) + "\n");
  }

 private:
  Context& context_;
  std::vector<std::string> stages_{};
  Beside beside_{};
  EndRates rates_{};
  bool shown_ = false;
  std::size_t lines_ = 0;
  std::int64_t ended_ = -1;
  std::int64_t printed_ms_ = 0;
};

int code_at_end(const Value& watch) {
  const TaskCounts counts = counts_of(at(watch, "tasks"));
  // What waits for a run that diverged or was pruned has not failed: those are results.
  const std::int64_t stuck =
      counts.blocked - integer_at(watch, "behind_diverged") - integer_at(watch, "behind_pruned");
  return counts.failed + counts.cancelled > 0 || stuck > 0 ? kExitRunsFailed : kExitOk;
}

}  // namespace

// The sweep goes on without us, and without its coordinator for a while: one that is restarted, or
// whose disk is full, is asked again for `kWatchPatience`.
Result<int> run_watch(Context& context, const std::string& sweep, bool once) {
  Display display(context, stage_entries(context, sweep));
  std::optional<Instant> silent_since;
  while (true) {
    const auto watch = context.ask("watch", Object{{"sweep", sweep}});
    const Instant now = context.clock.now();
    if (!watch) {
      const bool may_pass = watch.error().code == ErrorCode::kUnavailable && display.shown();
      if (once || !may_pass || now - silent_since.value_or(now) >= kWatchPatience)
        return tl::unexpected(watch.error());
      if (!silent_since) display.say("no answer, asking on: " + watch.error().message);
      silent_since = silent_since.value_or(now);
      if (!context.wait(kRedrawSeconds)) return context.interrupted();
      continue;
    }
    silent_since.reset();
    const bool ended = has_ended(*watch);
    display.show(*watch, ended || once);
    if (ended) return code_at_end(*watch);
    if (once) return kExitOk;
    if (!context.wait(kRedrawSeconds)) return context.interrupted();
  }
}

}  // namespace strata::cli

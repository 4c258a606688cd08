#include "cli/watch_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "cli/render/progress.h"
#include "cli/render/text_table.h"
#include "cli/view.h"

namespace strata::cli {

namespace {

constexpr std::size_t kBarWidth = 24;
constexpr std::size_t kSmallBarWidth = 10;

double fraction_of(const Value& progress) {
  const double total = number_at(progress, "total");
  if (total <= 0) return 0;
  return std::clamp(number_at(progress, "step") / total, 0.0, 1.0);
}

double elapsed_seconds(const Value& watch, const Value& task) {
  return std::max(
      0.0,
      static_cast<double>(integer_at(watch, "now_ms") - integer_at(task, "granted_ms")) / 1000);
}

// How long a running task takes in all, by its progress so far; nothing before it has made some.
std::optional<double> extrapolated(const Value& watch, const Value& task) {
  const double fraction = fraction_of(at(task, "progress"));
  if (fraction < 0.02) return std::nullopt;
  return elapsed_seconds(watch, task) / fraction;
}

std::vector<std::string> ordered_stages(const Value& watch,
                                        const std::vector<std::string>& stages) {
  std::vector<std::string> out;
  const Object& by_stage = object_at(watch, "by_stage");
  for (const std::string& stage : stages) {
    if (by_stage.contains(stage)) out.push_back(stage);
  }
  for (const auto& [stage, counts] : by_stage) {
    if (std::find(out.begin(), out.end(), stage) == out.end()) out.push_back(stage);
  }
  return out;
}

std::string counts_text(const TaskCounts& counts, const Palette& palette) {
  std::string out;
  const auto add = [&](std::int64_t number, const char* name, Tint tint) {
    if (number == 0) return;
    out += (out.empty() ? "" : ", ") +
           palette.paint(tint, fmt::format("{} {}", format_count(number), name));
  };
  add(counts.active(), "running", Tint::kAccent);
  add(counts.queued, "queued", Tint::kPlain);
  add(counts.blocked, "blocked", Tint::kDim);
  add(counts.failed, "failed", Tint::kBad);
  add(counts.diverged, "diverged", Tint::kWarn);
  add(counts.cancelled, "cancelled", Tint::kWarn);
  return out;
}

double stage_fraction(const Value& watch, const std::string& stage, const TaskCounts& counts) {
  if (counts.total() == 0) return 1;
  double done = static_cast<double>(counts.ended());
  for (const Value& task : array_at(watch, "running")) {
    if (text_at(task, "stage") == stage) done += std::min(fraction_of(at(task, "progress")), 0.999);
  }
  return std::clamp(done / static_cast<double>(counts.total()), 0.0, 1.0);
}

std::string metrics_text(const Value& metrics) {
  std::string out;
  std::size_t shown = 0;
  for (const auto& [name, value] : as_object(metrics)) {
    if (++shown > 3) break;
    const auto number = value.to_double();
    out += (out.empty() ? "" : "  ") + name + " " +
           (number ? format_number(*number, 4) : brief_text(value));
  }
  return out;
}

std::string running_line(const Value& watch, const Value& task) {
  const Value& progress = at(task, "progress");
  const double fraction = fraction_of(progress);
  std::string what =
      fmt::format("{} #{}", text_at(task, "task").substr(0, 8), integer_at(task, "attempt"));
  const Array& runs = array_at(task, "runs");
  if (!runs.empty()) what += "  " + brief_text(runs.front());
  if (runs.size() > 1) what += fmt::format(" and {} more", runs.size() - 1);
  std::string steps;
  if (integer_at(progress, "total") > 0) {
    steps = fmt::format("{} {}/{}", bar(fraction, kSmallBarWidth), integer_at(progress, "step"),
                        integer_at(progress, "total"));
  } else if (!at(progress, "step").is_null()) {
    steps = fmt::format("step {}", integer_at(progress, "step"));
  }
  std::string out = fmt::format("{:<11} {}  {}", text_at(task, "stage"), printable(what), steps);
  const std::string metrics = metrics_text(at(progress, "metrics"));
  if (!metrics.empty()) out += "  " + metrics;
  return out + "  " + format_duration(elapsed_seconds(watch, task));
}

template <class Line>
std::string section(const char* title, const Array& items, std::size_t limit, std::size_t width,
                    Tint tint, const Palette& palette, Line line) {
  if (items.empty()) return "";
  std::string out = "\n" + palette.paint(Tint::kBold, title) + "\n";
  for (std::size_t i = 0; i < std::min(items.size(), limit); ++i) {
    out += "  " + palette.paint(tint, shorten(line(items[i]), width - 2)) + "\n";
  }
  if (items.size() > limit) out += fmt::format("  and {} more\n", items.size() - limit);
  return out;
}

}  // namespace

TaskCounts counts_of(const Value& by_state) {
  return {.blocked = integer_at(by_state, "blocked"),
          .queued = integer_at(by_state, "queued"),
          .leased = integer_at(by_state, "leased"),
          .running = integer_at(by_state, "running"),
          .succeeded = integer_at(by_state, "succeeded"),
          .failed = integer_at(by_state, "failed"),
          .cancelled = integer_at(by_state, "cancelled"),
          .diverged = integer_at(by_state, "diverged")};
}

// A task whose producer failed stays blocked for ever: nothing is queued or active then, and no
// producer can come.
bool has_ended(const Value& watch) {
  const TaskCounts counts = counts_of(at(watch, "tasks"));
  if (counts.queued + counts.active() > 0) return false;
  return counts.blocked == 0 || counts.failed + counts.cancelled + counts.diverged > 0;
}

Remaining remaining_of(const Value& watch) {
  std::map<std::string, double> medians;
  for (const auto& [stage, seconds] : object_at(watch, "seconds_by_stage"))
    medians[stage] = seconds.to_double().value_or(0);
  for (const Value& task : array_at(watch, "running")) {
    const auto guess = extrapolated(watch, task);
    if (guess) medians.try_emplace(text_at(task, "stage"), *guess);
  }
  double work = 0;
  double longest = 0;
  for (const Value& task : array_at(watch, "running")) {
    const std::string stage = text_at(task, "stage");
    auto whole = extrapolated(watch, task);
    if (!whole && medians.contains(stage)) whole = medians[stage];
    if (!whole) return {.unknown_because = fmt::format("no {} has finished yet", stage)};
    const double left = std::max(0.0, *whole - elapsed_seconds(watch, task));
    work += left * number_at(task, "slots", 1);
    longest = std::max(longest, left);
  }
  for (const auto& [stage, states] : object_at(watch, "by_stage")) {
    const TaskCounts counts = counts_of(states);
    if (counts.waiting() == 0) continue;
    if (!medians.contains(stage))
      return {.unknown_because = fmt::format("no {} has finished yet", stage)};
    work += static_cast<double>(counts.waiting()) * medians[stage];
    longest = std::max(longest, medians[stage]);
  }
  const double slots = number_at(watch, "slots");
  if (slots <= 0) return {.unknown_because = "there are no slots"};
  return {.seconds = std::max(longest, work / slots)};
}

std::string watch_as_text(const Value& watch, const std::vector<std::string>& stages,
                          const Palette& palette, std::size_t width) {
  const TaskCounts all = counts_of(at(watch, "tasks"));
  const double whole =
      all.total() == 0 ? 1 : static_cast<double>(all.ended()) / static_cast<double>(all.total());
  const Remaining left = remaining_of(watch);
  std::string eta = has_ended(watch) ? "ended"
                    : left.seconds   ? "about " + format_duration(*left.seconds) + " left"
                                     : "time left unknown: " + left.unknown_because;
  std::string out =
      fmt::format("{}  {}/{} tasks  {:.0f} %  {}  {} of {} slots busy\n",
                  palette.paint(Tint::kBold, text_at(watch, "sweep")), all.ended(), all.total(),
                  100 * whole, eta, integer_at(watch, "slots") - integer_at(watch, "slots_free"),
                  integer_at(watch, "slots"));
  std::size_t name_width = 0;
  const std::vector<std::string> names = ordered_stages(watch, stages);
  for (const std::string& stage : names) name_width = std::max(name_width, display_width(stage));
  for (const std::string& stage : names) {
    const TaskCounts counts = counts_of(at(at(watch, "by_stage"), stage));
    const double fraction = stage_fraction(watch, stage, counts);
    const Tint tint = counts.failed > 0 ? Tint::kBad : fraction >= 1 ? Tint::kGood : Tint::kAccent;
    out += fmt::format("  {:<{}}  {}  {:>9}  {}\n", stage, name_width,
                       palette.paint(tint, bar(fraction, kBarWidth)),
                       fmt::format("{}/{}", counts.ended(), counts.total()),
                       counts_text(counts, palette));
  }
  out += section("running", array_at(watch, "running"), kRunningShown, width, Tint::kPlain, palette,
                 [&](const Value& task) { return running_line(watch, task); });
  out += section("waiting", array_at(watch, "waiting"), kWaitingShown, width, Tint::kDim, palette,
                 [](const Value& item) {
                   const Value& tasks = at(item, "tasks");  // a count, or the tasks themselves
                   const std::int64_t number =
                       tasks.if_array() == nullptr
                           ? integer_at(item, "tasks")
                           : static_cast<std::int64_t>(tasks.if_array()->size());
                   return plural(number, "task") + ": " + printable(text_at(item, "reason"));
                 });
  out += section("failed", array_at(watch, "failed"), kFailedShown, width, Tint::kBad, palette,
                 [](const Value& item) {
                   return fmt::format("{:<11} {}  {}", text_at(item, "stage"),
                                      text_at(item, "task").substr(0, 8),
                                      printable(text_at(item, "reason")));
                 });
  return out;
}

std::string watch_as_line(const Value& watch) {
  const TaskCounts all = counts_of(at(watch, "tasks"));
  const Remaining left = remaining_of(watch);
  std::string out = fmt::format("{} {}/{} tasks, {} running, {} failed", text_at(watch, "sweep"),
                                all.ended(), all.total(), all.active(), all.failed);
  if (has_ended(watch)) return out + ", ended";
  return out + (left.seconds ? ", about " + format_duration(*left.seconds) + " left" : "");
}

}  // namespace strata::cli

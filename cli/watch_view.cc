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
constexpr std::size_t kBarWidthMin = 6;  // a shorter one says nothing
constexpr std::size_t kSmallBarWidth = 10;
constexpr std::size_t kReasonLinesMax = 3;  // of one entry, on a terminal
constexpr double kShortSeconds = 1;         // below it, a task's end costs as much as the task
constexpr std::int64_t kManyShort = 100;  // fewer are gone before anybody reads how long they take
constexpr std::int64_t kRateWindowMs = 60'000;
constexpr std::int64_t kRateWindowMinMs = 900;

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

std::vector<std::string> counts_pieces(const TaskCounts& counts, const Palette& palette) {
  std::vector<std::string> out;
  const auto add = [&](std::int64_t number, const char* name, Tint tint) {
    if (number > 0)
      out.push_back(palette.paint(tint, fmt::format("{} {}", format_count(number), name)));
  };
  add(counts.active(), "running", Tint::kAccent);
  add(counts.queued, "queued", Tint::kPlain);
  add(counts.held, "held", Tint::kDim);
  add(counts.blocked, "blocked", Tint::kDim);
  add(counts.failed, "failed", Tint::kBad);
  add(counts.diverged, "diverged", Tint::kWarn);
  add(counts.cancelled, "cancelled", Tint::kWarn);
  add(counts.pruned, "pruned", Tint::kWarn);
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

// As much as fits, the least needed dropped first: metrics, then the bar, then the names.
std::string running_line(const Value& watch, const Value& task, std::size_t width) {
  const Value& progress = at(task, "progress");
  const std::string name =
      fmt::format("{} #{}", text_at(task, "task").substr(0, 8), integer_at(task, "attempt"));
  const Array& runs = array_at(task, "runs");
  const std::string first = runs.empty() ? "" : printable(brief_text(runs.front()));
  std::string cell = first;
  if (runs.size() > 1) cell += fmt::format(" and {} more", runs.size() - 1);
  std::string steps;
  std::string steps_bar;
  if (integer_at(progress, "total") > 0) {
    steps = fmt::format("{}/{}", integer_at(progress, "step"), integer_at(progress, "total"));
    steps_bar = bar(fraction_of(progress), kSmallBarWidth) + " " + steps;
  } else if (!at(progress, "step").is_null()) {
    steps = steps_bar = fmt::format("step {}", integer_at(progress, "step"));
  }
  const std::string stage = text_at(task, "stage");
  const std::string wide_stage = fmt::format("{:<11}", stage);
  const std::string elapsed = format_duration(elapsed_seconds(watch, task));
  const auto joined = [](const std::vector<std::string>& parts) {
    std::string out;
    for (const std::string& part : parts) {
      if (!part.empty()) out += (out.empty() ? "" : "  ") + part;
    }
    return out;
  };
  const std::string metrics = metrics_text(at(progress, "metrics"));
  std::string out;
  for (const auto& parts : std::vector<std::vector<std::string>>{
           {wide_stage + " " + name, cell, steps_bar, metrics, elapsed},
           {wide_stage + " " + name, cell, steps_bar, elapsed},
           {stage + " " + name, cell, steps, elapsed},
           {stage, cell, steps, elapsed},
           {stage, first, steps, elapsed}}) {
    out = joined(parts);
    if (display_width(out) <= width) break;
  }
  return out;
}

// Pieces one after another behind `out`, in as many lines as the width asks for, the later ones
// indented.
void flow(std::string& out, const std::vector<std::string>& given, std::string_view gap,
          std::size_t indent, std::size_t width) {
  std::vector<std::string> pieces;
  for (const std::string& piece : given) {
    const bool whole = display_width(piece) + indent <= width || piece.find('\x1b') == 0;
    const auto parts = whole ? std::vector<std::string>{piece}
                             : wrap_words(piece, width > indent ? width - indent : 1);
    pieces.insert(pieces.end(), parts.begin(), parts.end());
  }
  std::size_t used = display_width(std::string_view(out).substr(out.rfind('\n') + 1));
  bool first = true;
  for (const std::string& piece : pieces) {
    const std::size_t needed = display_width(piece);
    // One column more where a comma may follow.
    if (!first && used + gap.size() + needed + (gap.front() == ' ' ? 0 : 1) > width) {
      if (gap.front() != ' ') out += gap.front();
      out += "\n" + std::string(indent, ' ');
      used = indent;
    } else if (!first) {
      out += gap;
      used += gap.size();
    }
    out += piece;
    used += needed;
    first = false;
  }
}

std::string stage_lines(const Value& watch, const std::vector<std::string>& names,
                        const Palette& palette, std::size_t width) {
  std::size_t name_width = 0;
  std::size_t number_width = 0;
  std::size_t counts_width = 0;
  const auto number_of = [](const TaskCounts& counts) {
    return fmt::format("{}/{}", counts.ended(), counts.total());
  };
  for (const std::string& stage : names) {
    const TaskCounts counts = counts_of(at(at(watch, "by_stage"), stage));
    name_width = std::max(name_width, display_width(stage));
    number_width = std::max(number_width, number_of(counts).size());
    counts_width = std::max(
        counts_width, display_width(fmt::format("{}", fmt::join(counts_pieces(counts, {}), ", "))));
  }
  const std::size_t others = 2 + name_width + 2 + number_width + 2 + counts_width + 2;
  const std::size_t bar_width = width > others ? std::min(kBarWidth, width - others) : 0;
  std::string out;
  for (const std::string& stage : names) {
    const TaskCounts counts = counts_of(at(at(watch, "by_stage"), stage));
    const double fraction = stage_fraction(watch, stage, counts);
    const Tint tint = counts.failed > 0 ? Tint::kBad : fraction >= 1 ? Tint::kGood : Tint::kAccent;
    std::string line = fmt::format("  {:<{}}", stage, name_width);
    if (bar_width >= kBarWidthMin) line += "  " + palette.paint(tint, bar(fraction, bar_width));
    line += fmt::format("  {:>{}}", number_of(counts), number_width);
    const std::vector<std::string> states = counts_pieces(counts, palette);
    const std::size_t indent = name_width + 4;
    const bool beside = display_width(line) + 2 + counts_width <= width;
    if (!states.empty()) line += beside ? "  " : "\n" + std::string(indent, ' ');
    flow(line, states, ", ", indent, width);
    out += line + "\n";
  }
  return out;
}

template <class Items, class Line>
std::string section(const char* title, const Items& items, std::size_t limit, std::size_t width,
                    Tint tint, const Palette& palette, Line line) {
  if (items.empty()) return "";
  if (width >= kUncut) limit = items.size();
  std::string out = "\n" + palette.paint(Tint::kBold, title) + "\n";
  for (std::size_t i = 0; i < std::min(items.size(), limit); ++i) {
    // What has to be done about it stands at the end of a reason.
    const std::string whole = line(items[i]);
    std::vector<std::string> parts{whole};
    if (display_width(whole) + 2 > width) parts = wrap_words(whole, width > 4 ? width - 4 : 1);
    if (parts.size() > kReasonLinesMax) {
      parts.resize(kReasonLinesMax);
      parts.back() += " …";
    }
    for (std::size_t p = 0; p < parts.size(); ++p) {
      out += (p == 0 ? "  " : "    ") +
             palette.paint(tint, shorten(parts[p], width - (p == 0 ? 2 : 4))) + "\n";
    }
  }
  if (items.size() > limit) out += fmt::format("  and {} more\n", items.size() - limit);
  return out;
}

// "step 300  4 reached it, 1 went on, 2 held, 1 pruned, the best 0.53".
std::string search_lines(const Value& search, std::size_t width, const Palette& palette) {
  if (search.is_null()) return "";
  std::string out =
      "\n" + palette.paint(Tint::kBold, "search") +
      fmt::format("  {}, {} {} of {}\n", text_at(search, "method"), text_at(search, "goal"),
                  printable(text_at(search, "metric")), text_at(search, "stage"));
  for (const Value& rung : array_at(search, "rungs")) {
    std::string line =
        fmt::format("step {:<8} {:>4} reached it, {} went on", integer_at(rung, "step"),
                    integer_at(rung, "reached"), integer_at(rung, "went_on"));
    if (integer_at(rung, "held") > 0) line += fmt::format(", {} held", integer_at(rung, "held"));
    if (integer_at(rung, "pruned") > 0)
      line += fmt::format(", {} pruned", integer_at(rung, "pruned"));
    if (!at(rung, "best").is_null()) {
      line += ", the best " + format_number(number_at(rung, "best"), 4);
    } else if (integer_at(rung, "reached") > 0) {  // all are equally bad
      line += fmt::format(", none with a number for {}: does {} write it?",
                          printable(text_at(search, "metric")), text_at(search, "stage"));
    }
    out += "  " + shorten(line, width - 2) + "\n";
  }
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
          .diverged = integer_at(by_state, "diverged"),
          .held = integer_at(by_state, "held"),
          .pruned = integer_at(by_state, "pruned")};
}

// A task whose producer failed stays blocked for ever: nothing is queued or active then, and no
// producer can come.
bool has_ended(const Value& watch) {
  const TaskCounts counts = counts_of(at(watch, "tasks"));
  if (!flag_at(watch, "sealed")) return false;  // more of the submission is to come
  // A held task is let go on or pruned once those that it is compared with have come as far.
  if (counts.queued + counts.held + counts.active() > 0) return false;
  return counts.blocked == 0 ||
         counts.failed + counts.cancelled + counts.diverged + counts.pruned > 0;
}

void EndRates::look(const Value& watch) {
  Look now{.at_ms = integer_at(watch, "now_ms")};
  for (const auto& [stage, states] : object_at(watch, "by_stage"))
    now.ended[stage] = counts_of(states).ended();
  looks_.push_back(std::move(now));
  while (looks_.size() > 2 && looks_.back().at_ms - looks_.front().at_ms > kRateWindowMs)
    looks_.pop_front();
}

std::map<std::string, double> EndRates::per_second() const {
  std::map<std::string, double> out;
  if (looks_.empty()) return out;
  const Look& first = looks_.front();
  const Look& last = looks_.back();
  const std::int64_t passed_ms = last.at_ms - first.at_ms;
  if (passed_ms < kRateWindowMinMs) return out;
  for (const auto& [stage, ended] : last.ended) {
    const auto before = first.ended.find(stage);
    const std::int64_t more = ended - (before == first.ended.end() ? 0 : before->second);
    if (more > 0) out[stage] = static_cast<double>(more) * 1000 / static_cast<double>(passed_ms);
  }
  return out;
}

namespace {

// Seconds that a task of the stage takes in all, where that is known.
std::map<std::string, double> seconds_by_stage(const Value& watch) {
  std::map<std::string, double> out;
  for (const auto& [stage, seconds] : object_at(watch, "seconds_by_stage"))
    out[stage] = seconds.to_double().value_or(0);
  for (const Value& task : array_at(watch, "running")) {
    const auto guess = extrapolated(watch, task);
    if (guess) out.try_emplace(text_at(task, "stage"), *guess);
  }
  return out;
}

double slots_of_a_task(const Value& watch, const Beside& beside, const std::string& stage) {
  if (const auto known = beside.slots.find(stage); known != beside.slots.end())
    return static_cast<double>(std::max<std::int64_t>(known->second, 1));
  double out = 1;
  for (const Value& task : array_at(watch, "running")) {
    if (text_at(task, "stage") == stage) out = std::max(out, number_at(task, "slots", 1));
  }
  return out;
}

// Slots that are free or ours; absent where the answer does not name all that runs.
std::optional<double> slots_for_us(const Value& watch) {
  const Array& running = array_at(watch, "running");
  const std::int64_t active = counts_of(at(watch, "tasks")).active();
  if (static_cast<std::int64_t>(running.size()) < active) return std::nullopt;
  double out = number_at(watch, "slots_free");
  for (const Value& task : running) out += number_at(task, "slots", 1);
  return std::min(out, number_at(watch, "slots"));
}

}  // namespace

Remaining remaining_of(const Value& watch, const Beside& beside) {
  const std::map<std::string, double> medians = seconds_by_stage(watch);
  Remaining out;
  const auto unknown = [&](const std::string& why) {
    if (out.unknown_because.empty()) out.unknown_because = why;
  };
  const auto no_history = [&](const std::string& stage) {
    unknown(fmt::format("no {} has finished yet", stage));
  };
  double work = 0;     // slot-seconds
  double longest = 0;  // seconds, as are those of short tasks by their rate
  double at_their_rate = 0;
  for (const Value& task : array_at(watch, "running")) {
    const std::string stage = text_at(task, "stage");
    auto whole = extrapolated(watch, task);
    if (!whole && medians.contains(stage)) whole = medians.at(stage);
    if (!whole) {
      no_history(stage);
      continue;
    }
    const double left = std::max(0.0, *whole - elapsed_seconds(watch, task));
    work += left * number_at(task, "slots", 1);
    longest = std::max(longest, left);
  }
  for (const auto& [stage, states] : object_at(watch, "by_stage")) {
    const TaskCounts counts = counts_of(states);
    if (counts.waiting() == 0) continue;
    if (!medians.contains(stage)) {
      no_history(stage);
      continue;
    }
    const auto waiting = static_cast<double>(counts.waiting());
    work += waiting * medians.at(stage) * slots_of_a_task(watch, beside, stage);
    longest = std::max(longest, medians.at(stage));
    if (medians.at(stage) >= kShortSeconds) continue;
    if (const auto rate = beside.ended_per_second.find(stage);
        rate != beside.ended_per_second.end()) {
      at_their_rate += waiting / rate->second;
    } else if (counts.waiting() > kManyShort) {
      unknown(fmt::format("how many {} end in a second shows at the second look", stage));
    }
  }
  const double slots = number_at(watch, "slots");
  if (slots <= 0) return {.unknown_because = "there are no slots"};
  const double ours = slots_for_us(watch).value_or(slots);
  if (ours <= 0 && work > 0) unknown("all slots are with other sweeps");
  out.at_least = std::max(longest, work / (ours > 0 ? ours : slots));
  // A rate is no bound: they may end faster.
  if (out.unknown_because.empty()) out.seconds = std::max(out.at_least, at_their_rate);
  return out;
}

std::string time_left(const Value& watch, const Beside& beside) {
  if (has_ended(watch)) return "ended";
  const Remaining left = remaining_of(watch, beside);
  if (left.seconds) return "about " + format_duration(*left.seconds) + " left";
  if (left.at_least > 0)
    return "at least " + format_duration(left.at_least) + " left: " + left.unknown_because;
  return "time left unknown: " + left.unknown_because;
}

namespace {

std::int64_t tasks_of(const Value& item) {
  const Value& tasks = at(item, "tasks");  // a count, or the tasks themselves
  return tasks.if_array() == nullptr ? integer_at(item, "tasks")
                                     : static_cast<std::int64_t>(tasks.if_array()->size());
}

// 0: nothing runs it as things are; 1: it lacks room; 2: it waits for another task.
int urgency(const WaitingLine& line) {
  if (line.behind_an_end) return 2;
  if (line.reason.starts_with("infeasible") ||
      line.reason.find(" in quarantine") != std::string::npos)
    return 0;
  return line.reason.starts_with("waits for ") || line.reason == "other reasons" ? 2 : 1;
}

}  // namespace

std::vector<WaitingLine> waiting_lines(const Value& watch) {
  std::vector<WaitingLine> out;
  for (const Value& item : array_at(watch, "waiting")) {
    out.push_back({.reason = text_at(item, "reason"), .tasks = tasks_of(item)});
  }
  // Those are counted, and not among the ones that wait.
  for (const auto& [count, what] :
       {std::pair("behind_failed", "what they need failed or was cancelled"),
        std::pair("behind_pruned", "what they need was pruned"),
        std::pair("behind_diverged", "what they need diverged")}) {
    if (const std::int64_t tasks = integer_at(watch, count); tasks > 0)
      out.push_back({.reason = what, .tasks = tasks, .behind_an_end = true});
  }
  std::ranges::stable_sort(out, {}, urgency);
  return out;
}

std::string fit_height(const std::string& text, std::size_t height) {
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  // The cursor stands below the last line, and one line says what was cut.
  if (height < 3 || lines < height) return text;
  const std::size_t kept = height - 2;
  std::size_t end = 0;
  for (std::size_t i = 0; i < kept; ++i) end = text.find('\n', end) + 1;
  return text.substr(0, end) + fmt::format("… and {} more lines\n", lines - kept);
}

std::string watch_as_text(const Value& watch, const std::vector<std::string>& stages,
                          const Palette& palette, std::size_t width, const Beside& beside) {
  const TaskCounts all = counts_of(at(watch, "tasks"));
  const double whole =
      all.total() == 0 ? 1 : static_cast<double>(all.ended()) / static_cast<double>(all.total());
  std::string out;
  flow(out,
       {palette.paint(Tint::kBold, text_at(watch, "sweep")),
        fmt::format("{}/{} tasks", all.ended(), all.total()), fmt::format("{:.0f} %", 100 * whole),
        time_left(watch, beside),
        fmt::format("{} of {} slots busy",
                    integer_at(watch, "slots") - integer_at(watch, "slots_free"),
                    integer_at(watch, "slots"))},
       "  ", 2, width);
  out += "\n";
  out += stage_lines(watch, keys_in_order(object_at(watch, "by_stage"), stages), palette, width);
  out += search_lines(at(watch, "search"), width, palette);
  out += section("running", array_at(watch, "running"), kRunningShown, width, Tint::kPlain, palette,
                 [&](const Value& task) { return running_line(watch, task, width - 2); });
  std::vector<WaitingLine> waiting = waiting_lines(watch);
  const auto never = std::ranges::stable_partition(
      waiting, [](const WaitingLine& line) { return !line.behind_an_end; });
  const std::vector<WaitingLine> stuck(never.begin(), never.end());
  waiting.erase(never.begin(), never.end());
  const auto waiting_line = [](const WaitingLine& line) {
    return plural(line.tasks, "task") + ": " + printable(line.reason);
  };
  out += section("waiting", waiting, kWaitingShown, width, Tint::kDim, palette, waiting_line);
  out += section("behind what has no result", stuck, kWaitingShown, width, Tint::kDim, palette,
                 waiting_line);
  Array failed;
  Array diverged;
  for (const Value& item : array_at(watch, "failed")) {
    (text_at(item, "state") == "diverged" ? diverged : failed).push_back(item);
  }
  const auto failed_line = [](const Value& item) {
    return fmt::format("{:<11} {}  {}", text_at(item, "stage"), text_at(item, "task").substr(0, 8),
                       printable(text_at(item, "reason")));
  };
  out += section("failed", failed, kFailedShown, width, Tint::kBad, palette, failed_line);
  out += section("diverged", diverged, kFailedShown, width, Tint::kWarn, palette, failed_line);
  return out;
}

std::string watch_as_line(const Value& watch, const Beside& beside) {
  const TaskCounts all = counts_of(at(watch, "tasks"));
  std::string line =
      fmt::format("{} {}/{} tasks, {} running, {} failed, {}", text_at(watch, "sweep"), all.ended(),
                  all.total(), all.active(), all.failed, time_left(watch, beside));
  // Where nothing runs, whoever reads the log of a script has to learn why.
  const std::vector<WaitingLine> waiting = waiting_lines(watch);
  if (all.active() > 0 || all.queued == 0 || waiting.empty()) return line;
  return line + fmt::format("; {}: {}", plural(waiting.front().tasks, "task"),
                            printable(waiting.front().reason));
}

}  // namespace strata::cli

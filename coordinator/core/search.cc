#include "coordinator/core/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "base/assert.h"

namespace strata::coordinator {
namespace {

constexpr double kWorst = std::numeric_limits<double>::infinity();

// Of an even number the mean of the middle two, as the median is defined.
double median_of(std::vector<double> costs) {
  STRATA_ASSERT(!costs.empty());
  std::sort(costs.begin(), costs.end());
  const std::size_t half = costs.size() / 2;
  return costs.size() % 2 == 1 ? costs[half] : (costs[half - 1] + costs[half]) / 2;
}

}  // namespace

// --- what events say ---

Search::Standing* Search::take_part(const TaskKey& task) {
  const auto it = standings_.find(task);
  return it == standings_.end() ? nullptr : &it->second;
}

void Search::enter(const TaskKey& task, std::uint64_t order) {
  standings_.try_emplace(task, Standing{.order = order});
}

void Search::leave(const TaskKey& task) { standings_.erase(task); }

void Search::reach(const TaskKey& task, std::int64_t rung, double value) {
  Standing* standing = take_part(task);
  if (standing == nullptr || static_cast<std::int64_t>(standing->values.size()) != rung) return;
  standing->values.push_back(value);
}

void Search::hold(const TaskKey& task) {
  if (Standing* standing = take_part(task)) standing->held = true;
}

void Search::promote(const TaskKey& task) {
  if (Standing* standing = take_part(task)) standing->held = false;
}

void Search::prune(const TaskKey& task) {
  Standing* standing = take_part(task);
  if (standing == nullptr) return;
  standing->held = false;
  standing->pruned = true;
}

void Search::exempt(const TaskKey& task) {
  Standing* standing = take_part(task);
  if (standing == nullptr) return;
  standing->held = false;
  standing->pruned = false;
  standing->exempt = true;
}

// --- questions ---

const Search::Standing* Search::find(const TaskKey& task) const {
  const auto it = standings_.find(task);
  return it == standings_.end() ? nullptr : &it->second;
}

std::optional<std::int64_t> Search::next_rung(const TaskKey& task) const {
  const Standing* standing = find(task);
  if (standing == nullptr || standing->held || standing->pruned) return std::nullopt;
  if (standing->values.size() >= definition_.rungs.size()) return std::nullopt;
  return static_cast<std::int64_t>(standing->values.size());
}

double Search::cost_of(double value) const {
  if (!std::isfinite(value)) return kWorst;
  return definition_.minimize ? value : -value;
}

// Those that have reached the rung, the best first.
std::vector<Search::Entry> Search::ranking(std::size_t rung, const FateOf& fate_of) const {
  std::vector<Entry> entries;
  for (const auto& [task, standing] : standings_) {
    const std::size_t reached = standing.values.size();
    if (reached < rung) continue;
    const Fate fate = fate_of(task);
    // What ended badly on its way here is here, and worst; what was stopped before is not.
    if (reached == rung && (fate != Fate::kEndedBadly || standing.pruned)) continue;
    const double cost = reached > rung ? cost_of(standing.values[rung]) : kWorst;
    entries.push_back({cost, standing.order, task, &standing, fate});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.cost, a.order, a.task) < std::tie(b.cost, b.order, b.task);
  });
  return entries;
}

bool Search::is_closed(std::size_t rung, const FateOf& fate_of) const {
  return std::all_of(standings_.begin(), standings_.end(), [&](const auto& one) {
    const Standing& standing = one.second;
    return standing.values.size() > rung || standing.pruned || standing.exempt ||
           fate_of(one.first) != Fate::kGoing;
  });
}

// "0.53 at step 300".
std::string Search::said(const Standing& standing) const {
  const double value = standing.values.back();
  const std::int64_t step = definition_.rungs[standing.values.size() - 1];
  if (!std::isfinite(value))
    return fmt::format("no finite {} at step {}", definition_.metric, step);
  return fmt::format("{:.6g} at step {}", value, step);
}

Search::Decision Search::judge(const TaskKey& task, const FateOf& fate_of) const {
  const Standing* standing = find(task);
  STRATA_ASSERT(standing != nullptr && !standing->values.empty());
  if (standing->exempt || fate_of(task) != Fate::kGoing) return {.task = task};
  switch (definition_.method) {
    case SearchMethod::kAsha: return judge_asha(task, fate_of);
    case SearchMethod::kMedian: return judge_median(task, fate_of);
  }
  return {.task = task};
}

Search::Decision Search::judge_asha(const TaskKey& task, const FateOf& fate_of) const {
  const Standing& standing = standings_.at(task);
  const std::vector<Entry> entries = ranking(standing.values.size() - 1, fate_of);
  const std::size_t best = entries.size() / static_cast<std::size_t>(definition_.reduction);
  for (std::size_t i = 0; i < std::min(best, entries.size()); ++i) {
    if (entries[i].task == task) return {.task = task};
  }
  return {.task = task,
          .move = Move::kHold,
          .reason = fmt::format("{} is not among the best 1/{} of {}", said(standing),
                                definition_.reduction, entries.size())};
}

Search::Decision Search::judge_median(const TaskKey& task, const FateOf& fate_of) const {
  const Standing& standing = standings_.at(task);
  const std::size_t rungs = standing.values.size();
  double best = kWorst;
  for (const double value : standing.values) best = std::min(best, cost_of(value));
  std::vector<double> averages;  // of the others
  for (const auto& [other, its] : standings_) {
    if (other == task) continue;
    const bool came_here = its.values.size() >= rungs;
    if (!came_here && (its.pruned || fate_of(other) != Fate::kEndedBadly)) continue;
    double sum = came_here ? 0 : kWorst;
    for (std::size_t i = 0; i < rungs && came_here; ++i) sum += cost_of(its.values[i]);
    averages.push_back(sum / static_cast<double>(rungs));
  }
  if (static_cast<std::int64_t>(averages.size()) < definition_.others_min) return {.task = task};
  const double median = median_of(averages);
  if (!(best > median)) return {.task = task};
  return {.task = task,
          .move = Move::kPrune,
          .reason = fmt::format(
              "{}, and its best is worse than {:.6g}, the median of the {} others", said(standing),
              definition_.minimize ? median : -median, averages.size())};
}

std::vector<Search::Decision> Search::settle(const FateOf& fate_of, bool complete) const {
  std::vector<Decision> decisions;
  // The highest first: who is nearest to its end goes on first (algorithm 2).
  for (std::size_t rung = definition_.rungs.size(); rung-- > 0;)
    settle_rung(rung, fate_of, complete, decisions);
  return decisions;
}

void Search::settle_rung(std::size_t rung, const FateOf& fate_of, bool complete,
                         std::vector<Decision>& decisions) const {
  const auto is_held = [&](const Entry& entry) {
    return entry.standing->held && entry.standing->values.size() == rung + 1 &&
           entry.fate == Fate::kGoing;
  };
  const bool any_held = std::any_of(standings_.begin(), standings_.end(), [&](const auto& one) {
    return one.second.held && one.second.values.size() == rung + 1;
  });
  if (!any_held) return;
  const std::vector<Entry> entries = ranking(rung, fate_of);
  const bool closed = complete && is_closed(rung, fate_of);
  const std::size_t n = entries.size();
  std::size_t best = n / static_cast<std::size_t>(definition_.reduction);
  bool some_goes_on = false;  // or will, by the rule
  for (std::size_t i = 0; i < n; ++i) {
    const Standing& standing = *entries[i].standing;
    const bool beyond = standing.values.size() > rung && !standing.held && !standing.pruned;
    const bool passed =
        standing.values.size() > rung + 1 || beyond || (i < best && is_held(entries[i]));
    some_goes_on = some_goes_on || (passed && entries[i].fate != Fate::kEndedBadly);
  }
  bool one_more = closed && !some_goes_on;  // the best held one
  for (std::size_t i = 0; i < n; ++i) {
    const Entry& entry = entries[i];
    if (!is_held(entry)) continue;
    const std::string what = said(*entry.standing);
    if (i < best || one_more) {
      one_more = one_more && i < best;
      const std::string why =
          i < best ? fmt::format("{} is among the best 1/{} of {}", what, definition_.reduction, n)
                   : fmt::format("{} is the best that is left of {}", what, n);
      decisions.push_back({.task = entry.task, .move = Move::kPromote, .reason = why});
    } else if (closed) {
      decisions.push_back({.task = entry.task,
                           .move = Move::kPrune,
                           .reason = fmt::format("{} is not among the best 1/{} of {}", what,
                                                 definition_.reduction, n)});
    }
  }
}

std::vector<Search::RungCounts> Search::counts() const {
  std::vector<RungCounts> rungs(definition_.rungs.size());
  for (const auto& [task, standing] : standings_) {
    for (std::size_t i = 0; i < standing.values.size(); ++i) {
      RungCounts& rung = rungs[i];
      ++rung.reached;
      const double value = standing.values[i];
      if (std::isfinite(value) && (!rung.best || cost_of(value) < cost_of(*rung.best)))
        rung.best = value;
    }
    if (standing.values.empty()) continue;
    if (standing.held) ++rungs[standing.values.size() - 1].held;
    if (standing.pruned) ++rungs[standing.values.size() - 1].pruned;
  }
  return rungs;
}

}  // namespace strata::coordinator

// How a sweep's search decides which of its tasks go on. A pure object for each searching sweep: it
// is fed by events only (Cluster::apply), so a replay brings it to the same state, and asked for
// decisions, which Core records as events in the same step; so a replay decides nothing. No clock,
// no random source.
//
// A task takes part while the sweep wants it and it belongs to a run of the newest submission. It
// reaches the rungs one after the other, each once. At a rung it goes on, is held (asked for a
// checkpoint and paused, until promoted) or is pruned (for good). Numbers that are not finite are
// the worst there are; ties go to the task that was created first.
//
// ASHA (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning", algorithm 2):
//   * At rung k, n tasks have reached it. Who is among the best floor(n / reduction) goes on, when
//     it gets there or whenever n has grown enough; until then it is held.
//   * Rung k is closed when nobody can reach it any more: the submission has arrived whole, and
//     every task that takes part has reached it, has ended, was pruned, or is exempt. Then the
//     synchronous rule: the best floor(n / reduction) go on; where none of the tasks that reached
//     the rung has gone on without failing since, the best held one does; all others held there are
//     pruned.
//   * It ends: each task that waits or runs ends or reaches rung 0, so rung 0 closes, and then
//     nothing is held there; what it let go on ends or reaches rung 1; and so on over finitely many
//     rungs. The last one that is let go on runs to its end.
//   * A task that failed, diverged, or waits for an input that cannot come counts as one that
//     reached the next rung with the worst value. Only the next: had it lived, it would have had to
//     be promoted to be in a later one.
//
// Median stopping (Golovin et al. 2017, "Google Vizier", section 3.2.2): at rung k a task is pruned
// when its best value so far is strictly worse than the median of the running averages, over rungs
// 0 to k, of the others that have reached rung k; of at least `others_min` such others. (The paper
// takes the completed ones only; here those that have come as far count, so that it can begin
// before the first one is complete.) What failed or diverged counts at every rung it did not reach,
// with the worst value. Nothing is ever held.
//
// Exempt tasks count by the values they have and are never judged: those that have succeeded, and
// those that a person wanted in spite of the search (`strata retry` of a pruned task).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schema/ids.h"
#include "schema/search.h"

namespace strata::coordinator {

class Search {
 public:
  explicit Search(SearchDefinition definition) : definition_(std::move(definition)) {}

  struct Standing {
    std::uint64_t order = 0;       // of the task's creation
    std::vector<double> values{};  // of the rungs it has reached, in order
    bool held = false;             // at the last one of them
    bool pruned = false;
    bool exempt = false;
    bool operator==(const Standing&) const = default;
  };

  // --- what events say; a task that does not take part is passed over ---
  void enter(const TaskKey& task, std::uint64_t order);  // once more: nothing changes
  void leave(const TaskKey& task);                       // and everything about it is forgotten
  void reach(const TaskKey& task, std::int64_t rung, double value);
  void hold(const TaskKey& task);
  void promote(const TaskKey& task);
  void prune(const TaskKey& task);
  void exempt(const TaskKey& task);

  // --- questions ---
  enum class Fate { kGoing, kSucceeded, kEndedBadly };  // badly: also what can never begin
  using FateOf = std::function<Fate(const TaskKey&)>;

  enum class Move { kGoOn, kHold, kPromote, kPrune };
  struct Decision {
    TaskKey task{};
    Move move = Move::kGoOn;
    std::string reason{};  // "0.53 at step 300 is not among the best 1/3 of 9"
  };
  // What becomes of a task that takes part and has just reached its last rung: kGoOn, kHold or
  // kPrune.
  [[nodiscard]] Decision judge(const TaskKey& task, const FateOf& fate_of) const;
  // kPromote and kPrune of held ones. Applying them may lead to more, until there are none.
  // `complete`: no more tasks come.
  [[nodiscard]] std::vector<Decision> settle(const FateOf& fate_of, bool complete) const;

  // The rung that the task would reach next. Nothing: it does not take part, is held or pruned, or
  // is beyond all.
  [[nodiscard]] std::optional<std::int64_t> next_rung(const TaskKey& task) const;
  [[nodiscard]] const Standing* find(const TaskKey& task) const;
  [[nodiscard]] const SearchDefinition& definition() const { return definition_; }
  [[nodiscard]] const std::map<TaskKey, Standing>& standings() const { return standings_; }

  // For tables and people: who is where, at one rung.
  struct RungCounts {
    std::int64_t reached = 0;
    std::int64_t held = 0;
    std::int64_t pruned = 0;
    std::optional<double> best{};  // of the finite values
    [[nodiscard]] std::int64_t went_on() const { return reached - held - pruned; }
  };
  [[nodiscard]] std::vector<RungCounts> counts() const;

  bool operator==(const Search&) const = default;

 private:
  struct Entry {  // of a rung
    double cost = 0;
    std::uint64_t order = 0;
    TaskKey task{};
    const Standing* standing = nullptr;
    Fate fate = Fate::kGoing;
  };
  [[nodiscard]] double cost_of(double value) const;  // smaller is better; the worst is infinite
  [[nodiscard]] std::vector<Entry> ranking(std::size_t rung, const FateOf& fate_of) const;
  [[nodiscard]] bool is_closed(std::size_t rung, const FateOf& fate_of) const;
  [[nodiscard]] std::string said(const Standing& standing) const;
  [[nodiscard]] Decision judge_asha(const TaskKey& task, const FateOf& fate_of) const;
  [[nodiscard]] Decision judge_median(const TaskKey& task, const FateOf& fate_of) const;
  void settle_rung(std::size_t rung, const FateOf& fate_of, bool complete,
                   std::vector<Decision>& decisions) const;
  Standing* take_part(const TaskKey& task);

  SearchDefinition definition_;
  std::map<TaskKey, Standing> standings_;
};

}  // namespace strata::coordinator

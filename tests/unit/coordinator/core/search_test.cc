// The searches against small references written from the definitions, on random streams.

#include "coordinator/core/search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "base/random.h"

namespace strata::coordinator {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
using Fate = Search::Fate;
using Move = Search::Move;

TaskKey key_of(std::int64_t i) { return task_key_of("task " + std::to_string(i)); }

SearchDefinition asha(std::vector<std::int64_t> rungs, std::int64_t reduction) {
  return {.method = SearchMethod::kAsha,
          .stage = "train",
          .metric = "loss_val",
          .rungs = std::move(rungs),
          .reduction = reduction};
}

// A search and the tasks it judges, as the core would drive it.
struct Trial {
  explicit Trial(SearchDefinition definition) : search(std::move(definition)) {}

  void enter(int count) {
    for (int i = 0; i < count; ++i) {
      search.enter(key_of(i), static_cast<std::uint64_t>(i + 1));
      fates[key_of(i)] = Fate::kGoing;
      index[key_of(i)] = i;
    }
  }
  Search::FateOf fate() const {
    return [this](const TaskKey& key) { return fates.at(key); };
  }
  void apply(const Search::Decision& decision) {
    if (decision.move == Move::kHold) search.hold(decision.task);
    if (decision.move == Move::kPromote) search.promote(decision.task);
    if (decision.move == Move::kPrune) search.prune(decision.task);
    last = decision;
  }
  void settle() {
    while (true) {
      const auto decisions = search.settle(fate(), complete);
      if (decisions.empty()) return;
      for (const auto& decision : decisions) {
        EXPECT_TRUE(search.find(decision.task)->held) << "only what is held is decided later";
        apply(decision);
      }
    }
  }
  void reach(int i, double value) {
    const auto rung = search.next_rung(key_of(i));
    ASSERT_TRUE(rung.has_value());
    search.reach(key_of(i), *rung, value);
    apply(search.judge(key_of(i), fate()));
    settle();
  }
  void end(int i, Fate as) {
    fates[key_of(i)] = as;
    if (as == Fate::kSucceeded) search.exempt(key_of(i));
    settle();
  }
  const Search::Standing& at(int i) const { return *search.find(key_of(i)); }
  // Tasks that were let go on past the rung.
  std::set<int> beyond(std::size_t rung) const {
    std::set<int> tasks;
    for (const auto& [key, standing] : search.standings()) {
      const std::size_t reached = standing.values.size();
      if (reached > rung + 1 || (reached == rung + 1 && !standing.held && !standing.pruned))
        tasks.insert(index.at(key));
    }
    return tasks;
  }

  Search search;
  std::map<TaskKey, Fate> fates{};
  std::map<TaskKey, int> index{};
  Search::Decision last{};
  bool complete = true;
};

TEST(Asha, TheFirstIsHeldAndTheBestOfThreeGoesOnWhenThreeHaveCome) {
  Trial trial(asha({100, 300}, 3));
  trial.enter(9);
  trial.reach(0, 0.5);
  EXPECT_TRUE(trial.at(0).held);
  EXPECT_EQ(trial.last.reason, "0.5 at step 100 is not among the best 1/3 of 1");
  trial.reach(1, 0.7);
  EXPECT_TRUE(trial.at(1).held);
  trial.reach(2, 0.6);
  EXPECT_FALSE(trial.at(0).held) << "the best of three";
  EXPECT_EQ(trial.last.reason, "0.5 at step 100 is among the best 1/3 of 3");
  EXPECT_TRUE(trial.at(2).held);
  trial.reach(3, 0.1);
  EXPECT_TRUE(trial.beyond(0).contains(0));
  EXPECT_FALSE(trial.at(3).held) << "the best of four goes on at once";
}

TEST(Asha, MaximizesWhatIsToBeMaximized) {
  SearchDefinition definition = asha({100}, 2);
  definition.minimize = false;
  Trial trial(definition);
  trial.enter(3);
  trial.reach(0, 0.5);
  trial.reach(1, 0.7);
  EXPECT_EQ(trial.beyond(0), std::set<int>{1});
}

TEST(Asha, NumbersThatAreNotFiniteAreTheWorst) {
  Trial trial(asha({100}, 2));
  trial.enter(4);
  trial.reach(0, kNaN);
  EXPECT_EQ(trial.last.reason, "no finite loss_val at step 100 is not among the best 1/2 of 1");
  trial.reach(1, -std::numeric_limits<double>::infinity());
  trial.reach(2, 1e300);
  EXPECT_TRUE(trial.beyond(0).contains(2));
}

TEST(Asha, TiesGoToTheTaskThatWasCreatedFirst) {
  Trial trial(asha({100}, 2));
  trial.enter(4);
  for (const int i : {3, 2, 1, 0}) trial.reach(i, 0.5);
  EXPECT_TRUE(trial.beyond(0).contains(0));
  EXPECT_TRUE(trial.beyond(0).contains(1));
  EXPECT_TRUE(trial.at(3).pruned || trial.beyond(0).contains(3));
}

TEST(Asha, WithFewerThanTheReductionTheBestOneStillGoesOnAtTheEnd) {
  Trial trial(asha({100, 300}, 3));
  trial.enter(2);
  trial.reach(0, 0.5);
  EXPECT_TRUE(trial.at(0).held);
  trial.reach(1, 0.4);
  EXPECT_EQ(trial.beyond(0), std::set<int>{1});
  EXPECT_TRUE(trial.at(0).pruned);
  trial.reach(1, 0.3);
  EXPECT_EQ(trial.beyond(1), std::set<int>{1});
}

TEST(Asha, NothingIsPrunedBeforeTheSubmissionHasArrivedWhole) {
  Trial trial(asha({100}, 3));
  trial.complete = false;
  trial.enter(2);
  trial.reach(0, 0.5);
  trial.reach(1, 0.4);
  EXPECT_TRUE(trial.at(0).held);
  EXPECT_TRUE(trial.at(1).held);
  trial.complete = true;
  trial.settle();
  EXPECT_EQ(trial.beyond(0), std::set<int>{1});
}

TEST(Asha, WhatFailedCountsAsTheWorstOfTheNextRungAndOfNoLaterOne) {
  Trial trial(asha({100, 300}, 2));
  trial.enter(4);
  trial.end(0, Fate::kEndedBadly);
  trial.reach(1, 0.5);
  EXPECT_FALSE(trial.at(1).held) << "the best of two, one of which failed";
  trial.reach(1, 0.5);
  EXPECT_TRUE(trial.at(1).held) << "the only one at the second rung";
}

TEST(Asha, WhenTheOneThatWentOnFailsBeforeTheRungIsClosedAnotherTakesItsPlace) {
  Trial trial(asha({100, 300}, 2));
  trial.enter(3);
  trial.reach(0, 0.1);
  trial.reach(1, 0.2);
  EXPECT_EQ(trial.beyond(0), std::set<int>{0});
  trial.end(0, Fate::kEndedBadly);
  trial.end(2, Fate::kEndedBadly);
  EXPECT_TRUE(trial.beyond(0).contains(1));
  EXPECT_EQ(trial.last.move, Move::kPromote);
  EXPECT_EQ(trial.last.reason, "0.2 at step 100 is the best that is left of 3");
}

TEST(Asha, AnExemptTaskCountsAndIsNeverJudged) {
  Trial trial(asha({100}, 2));
  trial.enter(3);
  trial.search.exempt(key_of(0));
  trial.reach(0, 0.9);
  EXPECT_FALSE(trial.at(0).held);
  trial.reach(1, 0.5);
  EXPECT_FALSE(trial.at(1).held);
}

TEST(Asha, NobodyWaitsForAnExemptTask) {
  Trial trial(asha({100}, 3));
  trial.enter(3);
  trial.search.exempt(key_of(0));
  trial.reach(1, 0.5);
  trial.reach(2, 0.6);
  EXPECT_EQ(trial.beyond(0), std::set<int>{1});
  EXPECT_TRUE(trial.at(2).pruned);
}

// --- properties ---

// Algorithm 2 as it stands in the paper, by brute force, with what search.h adds for failures and
// for the end.
struct Reference {
  std::size_t rungs = 0;
  std::size_t reduction = 3;
  int tasks = 0;
  std::map<int, std::vector<double>> values{};
  std::set<int> failed{};
  std::set<int> done{};
  std::set<int> pruned{};
  std::vector<std::set<int>> let_on{};

  bool is_waiting(int task, std::size_t rung) const {
    const auto it = values.find(task);
    const std::size_t reached = it == values.end() ? 0 : it->second.size();
    return reached == rung + 1 && !let_on[rung].contains(task) && !failed.contains(task) &&
           !pruned.contains(task) && !done.contains(task);
  }
  std::vector<int> ranked(std::size_t rung) {
    std::vector<std::pair<double, int>> all;
    for (int t = 0; t < tasks; ++t) {
      const auto& v = values[t];
      const double worst = std::numeric_limits<double>::infinity();
      if (v.size() > rung) all.emplace_back(std::isfinite(v[rung]) ? v[rung] : worst, t);
      if (v.size() == rung && failed.contains(t)) all.emplace_back(worst, t);
    }
    std::sort(all.begin(), all.end());
    std::vector<int> order;
    for (const auto& [value, task] : all) order.push_back(task);
    return order;
  }
  bool none_can_come(std::size_t rung) {
    for (int t = 0; t < tasks; ++t) {
      if (values[t].size() > rung || failed.contains(t) || done.contains(t) || pruned.contains(t))
        continue;
      return false;
    }
    return true;
  }
  void settle() {
    for (bool moved = true; std::exchange(moved, false);) {
      for (std::size_t rung = rungs; rung-- > 0;) {
        const std::vector<int> order = ranked(rung);
        const std::size_t top = order.size() / reduction;
        for (std::size_t i = 0; i < top; ++i) {
          if (is_waiting(order[i], rung)) moved = let_on[rung].insert(order[i]).second || moved;
        }
        if (!none_can_come(rung)) continue;
        bool alive = false;
        for (const int t : let_on[rung]) alive = alive || !failed.contains(t);
        for (const int t : order) {
          if (!is_waiting(t, rung)) continue;
          moved = true;
          if (alive) {
            pruned.insert(t);
          } else {
            let_on[rung].insert(t);
            alive = true;
          }
        }
      }
    }
  }
};

struct Stream {
  int tasks = 0;
  std::size_t rungs = 0;
  std::int64_t reduction = 0;
  double fails = 0;
};

void run_stream(std::uint64_t seed, const Stream& s) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  std::vector<std::int64_t> steps;
  for (std::size_t i = 0; i < s.rungs; ++i) steps.push_back(static_cast<std::int64_t>(i + 1) * 100);
  Trial trial(asha(steps, s.reduction));
  trial.enter(s.tasks);
  Reference reference{.rungs = s.rungs,
                      .reduction = static_cast<std::size_t>(s.reduction),
                      .tasks = s.tasks,
                      .let_on = std::vector<std::set<int>>(s.rungs)};
  for (int guard = 0; guard < 10'000; ++guard) {
    std::vector<int> running;
    for (int t = 0; t < s.tasks; ++t) {
      const auto& standing = trial.at(t);
      if (trial.fates[key_of(t)] == Fate::kGoing && !standing.held && !standing.pruned)
        running.push_back(t);
    }
    if (running.empty()) break;
    const int t = running[random.bounded(running.size())];
    if (random.uniform() < s.fails) {
      reference.failed.insert(t);
      reference.settle();
      trial.end(t, Fate::kEndedBadly);
    } else if (!trial.search.next_rung(key_of(t))) {
      reference.done.insert(t);
      reference.settle();
      trial.end(t, Fate::kSucceeded);
    } else {
      const double value = random.uniform() < 0.1 ? kNaN : static_cast<double>(random.bounded(20));
      reference.values[t].push_back(value);
      reference.settle();
      trial.reach(t, value);
    }
    for (std::size_t rung = 0; rung < s.rungs; ++rung)
      ASSERT_EQ(trial.beyond(rung), reference.let_on[rung]) << "rung " << rung;
    for (int other = 0; other < s.tasks; ++other)
      ASSERT_EQ(trial.at(other).pruned, reference.pruned.contains(other)) << "task " << other;
  }
  // It ends: nothing is held when nothing runs.
  for (int t = 0; t < s.tasks; ++t) {
    const bool going = trial.fates[key_of(t)] == Fate::kGoing;
    ASSERT_FALSE(going && !trial.at(t).pruned) << "task " << t << " waits for ever";
  }
  // What the synchronous method would have promoted was promoted.
  for (std::size_t rung = 0; rung < s.rungs; ++rung) {
    const std::vector<int> order = reference.ranked(rung);
    for (std::size_t i = 0; i < order.size() / static_cast<std::size_t>(s.reduction); ++i) {
      if (reference.failed.contains(order[i])) continue;
      ASSERT_TRUE(trial.beyond(rung).contains(order[i])) << "rung " << rung;
    }
  }
}

TEST(Asha, OnRandomStreamsTheSetsThatGoOnAreThoseOfTheDefinition) {
  Random random(7);
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    run_stream(seed, {.tasks = static_cast<int>(1 + random.bounded(30)),
                      .rungs = 1 + random.bounded(4),
                      .reduction = static_cast<std::int64_t>(2 + random.bounded(3)),
                      .fails = seed % 3 == 0 ? 0.15 : 0});
    if (HasFatalFailure()) return;
  }
}

// --- median stopping ---

SearchDefinition median(std::int64_t others_min) {
  return {.method = SearchMethod::kMedian,
          .stage = "train",
          .metric = "loss_val",
          .rungs = {1, 2, 3, 4},
          .others_min = others_min};
}

TEST(Asha, WhatItPrunedIsNotOfTheNextRungEvenIfItFailsForAnotherSweep) {
  Trial trial(asha({100, 300}, 2));
  trial.enter(4);
  for (int i = 0; i < 4; ++i) trial.reach(i, i);
  ASSERT_TRUE(trial.at(2).pruned);
  ASSERT_TRUE(trial.at(3).pruned);
  trial.end(2, Fate::kEndedBadly);
  trial.end(3, Fate::kEndedBadly);
  trial.reach(0, 1);
  EXPECT_EQ(trial.last.move, Move::kHold) << "of one nobody is among the best half";
}

TEST(Asha, WhatHasEndedIsNotJudged) {
  for (const Fate fate : {Fate::kSucceeded, Fate::kEndedBadly}) {
    Trial trial(asha({100, 300}, 2));
    trial.enter(2);
    trial.fates[key_of(0)] = fate;
    trial.search.reach(key_of(0), 0, 9);
    EXPECT_EQ(trial.search.judge(key_of(0), trial.fate()).move, Move::kGoOn);
  }
}

TEST(Asha, ARungIsReachedOnceAndInOrder) {
  Search search(asha({100, 300}, 2));
  search.enter(key_of(0), 1);
  search.reach(key_of(0), 1, 0.1);
  EXPECT_TRUE(search.find(key_of(0))->values.empty());
  search.reach(key_of(0), 0, 0.5);
  search.reach(key_of(0), 0, 0.4);
  EXPECT_EQ(search.find(key_of(0))->values, std::vector<double>{0.5});
}

TEST(Asha, TheTableOfItsRungsSaysWhoIsWhere) {
  for (const bool minimize : {true, false}) {
    SearchDefinition definition = asha({100, 300}, 2);
    definition.minimize = minimize;
    Trial trial(definition);
    trial.complete = false;
    trial.enter(5);
    const double sign = minimize ? 1 : -1;
    trial.reach(0, 1 * sign);
    trial.reach(1, 2 * sign);
    trial.reach(2, kNaN);
    trial.reach(3, 3 * sign);
    trial.search.prune(key_of(3));
    const auto counts = trial.search.counts();
    ASSERT_EQ(counts.size(), 2U);
    EXPECT_EQ(counts[0].reached, 4);
    EXPECT_EQ(counts[0].pruned, 1);
    EXPECT_EQ(counts[0].held + counts[0].went_on(), 3);
    EXPECT_EQ(counts[0].held, trial.at(0).held + trial.at(1).held + trial.at(2).held);
    EXPECT_GT(counts[0].held, 0);
    EXPECT_EQ(counts[0].best, sign);
    EXPECT_EQ(counts[1].reached, 0);
    EXPECT_FALSE(counts[1].best.has_value());
  }
}

TEST(Median, WhatItPrunedIsNoneOfTheOthersLaterEvenIfItFailsForAnotherSweep) {
  SearchDefinition definition = asha({100, 300}, 2);
  definition.method = SearchMethod::kMedian;
  definition.others_min = 3;
  // Worse than both that came here, but they are two.
  Trial worse(definition);
  worse.enter(4);
  for (int i = 0; i < 3; ++i) worse.reach(i, i == 2 ? 5 : 1);
  worse.search.prune(key_of(3));
  worse.end(3, Fate::kEndedBadly);
  worse.reach(0, 1);
  worse.reach(1, 1);
  worse.reach(2, 5);
  EXPECT_FALSE(worse.at(2).pruned);
}

TEST(Median, AsksForSoManyOthersBeforeItPrunes) {
  Trial trial(median(2));
  trial.enter(4);
  trial.reach(0, 1);
  trial.reach(1, 9);
  EXPECT_FALSE(trial.at(1).pruned) << "one other is too few";
  trial.reach(2, 9);
  EXPECT_TRUE(trial.at(2).pruned);
  EXPECT_EQ(trial.last.reason,
            "9 at step 1, and its best is worse than 5, the median of the 2 others");
}

TEST(Median, ComparesTheBestSoFarWithRunningAverages) {
  Trial trial(median(1));
  trial.enter(2);
  trial.reach(0, 8);
  trial.reach(0, 4);  // its average at the second rung is 6
  trial.reach(1, 7);
  EXPECT_FALSE(trial.at(1).pruned) << "7 is better than 8";
  trial.reach(1, 6);
  EXPECT_FALSE(trial.at(1).pruned) << "as good as the median is good enough";
  trial.reach(0, 0);  // its average at the third is 4
  trial.reach(1, 100);
  EXPECT_TRUE(trial.at(1).pruned) << "its best is 6";
}

TEST(Median, OnRandomStreamsPrunesExactlyWhatTheRuleSays) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const int tasks = static_cast<int>(2 + random.bounded(12));
    const auto others_min = static_cast<std::int64_t>(1 + random.bounded(4));
    Trial trial(median(others_min));
    trial.enter(tasks);
    std::map<int, std::vector<double>> series;  // costs
    std::set<int> out;                          // pruned or failed
    std::set<int> failed;
    for (int i = 0; i < tasks * 5; ++i) {
      const int t = static_cast<int>(random.bounded(static_cast<std::uint64_t>(tasks)));
      if (out.contains(t) || series[t].size() == 4) continue;
      if (random.uniform() < 0.05) {
        out.insert(t);
        failed.insert(t);
        trial.end(t, Fate::kEndedBadly);
        continue;
      }
      const bool bad = random.uniform() < 0.1;
      const auto value = static_cast<double>(random.bounded(10));
      series[t].push_back(bad ? std::numeric_limits<double>::infinity() : value);
      const std::size_t n = series[t].size();
      std::multiset<double> averages;
      for (int o = 0; o < tasks; ++o) {
        if (o == t) continue;
        if (series[o].size() < n && !failed.contains(o)) continue;
        double sum = 0;
        for (std::size_t k = 0; k < n; ++k)
          sum += k < series[o].size() ? series[o][k] : std::numeric_limits<double>::infinity();
        averages.insert(sum / static_cast<double>(n));
      }
      bool prune = false;
      if (static_cast<std::int64_t>(averages.size()) >= others_min) {
        const std::vector<double> sorted(averages.begin(), averages.end());
        const double low = sorted[(sorted.size() - 1) / 2];
        const double high = sorted[sorted.size() / 2];
        prune = *std::min_element(series[t].begin(), series[t].end()) > (low + high) / 2;
      }
      trial.reach(t, bad ? kNaN : value);
      ASSERT_EQ(trial.at(t).pruned, prune);
      if (prune) out.insert(t);
    }
  }
}

}  // namespace
}  // namespace strata::coordinator

// A search with real processes: stages that emit a metric, checkpoints that are written when the
// search pauses them, a coordinator that is killed meanwhile. No test asserts when something
// happens: whatever the order, the best cell gets to its end.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/cluster_harness.h"
#include "tests/support/counting_task.h"
#include "tests/support/sample_sweep.h"
#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

using testing::after;
using testing::counting;

constexpr int kCells = 6;
constexpr int kSteps = 60;

class SearchOnACluster : public ::testing::Test {
 protected:
  void SetUp() override {
    cluster_.start_coordinator();
    for (int i = 0; i < kCells; ++i) {
      TaskSpec train = counting(kSteps, 0.03, std::to_string(i));
      train.parameters.if_object()->emplace("loss", 1 + (i + 3) % kCells);
      train.lease_ms = 30'000;
      train.key = compute_key(train);
      trains_.push_back(train);
      TaskSpec score = after(counting(1, 0, std::to_string(i)), train);
      score.stage = "score";
      score.key = compute_key(score);
      scores_.push_back(score);
    }
    best_ = static_cast<std::size_t>(kCells - 3);  // of loss 1
  }
  void TearDown() override {
    cluster_.stop_all();
    EXPECT_TRUE(testing::wait_for_none_below(temporary_.path()).empty())
        << "processes of attempts are left";
    const auto fsck =
        run_captured({.argv = {std::string(STRATA_BINARY_DIR) + "/bin/strata-coordinator", "fsck",
                               "--store", cluster_.store().string()}});
    ASSERT_TRUE(fsck);
    EXPECT_TRUE(fsck->exit.ok()) << fsck->output;
    if (HasFailure()) cluster_.print_logs();
  }
  void submit(const SearchDefinition& search) {
    std::vector<TaskSpec> tasks = trains_;
    tasks.insert(tasks.end(), scores_.begin(), scores_.end());
    std::vector<RunSpec> runs;
    for (std::size_t i = 0; i < trains_.size(); ++i)
      runs.push_back(testing::make_run("cell " + std::to_string(i), 1, {trains_[i], scores_[i]}));
    cluster_.submit("search", tasks, runs, {.search = search});
  }
  [[nodiscard]] std::size_t count(const std::string& state) {
    return static_cast<std::size_t>(
        std::count_if(trains_.begin(), trains_.end(),
                      [&](const TaskSpec& train) { return cluster_.state(train.key) == state; }));
  }
  void expect_the_best_at_its_end_and_others_pruned() {
    EXPECT_TRUE(
        cluster_.eventually([&] { return count("succeeded") + count("pruned") == trains_.size(); },
                            std::chrono::seconds(80)));
    EXPECT_EQ(cluster_.state(trains_[best_].key), "succeeded");
    EXPECT_GE(count("pruned"), 2U);
    ASSERT_TRUE(cluster_.ends(scores_[best_].key));
    const Value watch = cluster_.ask("watch", Object{{"sweep", "search"}});
    EXPECT_EQ(watch.find("behind_pruned")->if_number()->to_integer(),
              static_cast<std::int64_t>(count("pruned")));
    const Value runs = cluster_.ask("runs", Object{{"sweep", "search"}});
    std::size_t pruned = 0;
    for (const Value& run : *runs.find("runs")->if_array())
      pruned += *run.find("state")->if_string() == "pruned" ? 1 : 0;
    EXPECT_EQ(pruned, count("pruned"));
  }

  testing::TemporaryFolder temporary_;
  testing::ClusterHarness cluster_{temporary_.path()};
  std::vector<TaskSpec> trains_;
  std::vector<TaskSpec> scores_;
  std::size_t best_ = 0;
};

SearchDefinition halving() {
  return {.method = SearchMethod::kAsha,
          .stage = "count",
          .metric = "loss",
          .rungs = {10, 30},
          .reduction = 2};
}

TEST_F(SearchOnACluster, TheBestCellGetsToItsEndAndOthersArePruned) {
  cluster_.start_worker("w1", 3);
  submit(halving());
  expect_the_best_at_its_end_and_others_pruned();
  const Value watch = cluster_.ask("watch", Object{{"sweep", "search"}});
  const Value& first = watch.find("search.rungs")->if_array()->front();
  EXPECT_EQ(first.find("reached")->if_number()->to_integer(), kCells);
  EXPECT_EQ(first.find("best")->to_double(), 1.1) << "its loss at step 10, whatever came later";
  for (const TaskSpec& train : trains_) {
    if (cluster_.state(train.key) != "pruned") continue;
    const Value told = cluster_.ask("explain", Object{{"prefix", train.key.hex()}});
    const std::string reason =
        *told.find("stages")->if_array()->front().find("reason")->if_string();
    EXPECT_TRUE(reason.starts_with("pruned by its search: ")) << reason;
    EXPECT_NE(reason.find(" is not among the best 1/2 of "), std::string::npos) << reason;
  }
  // The best one was paused, or not; its result is that of a run that never was.
  TaskSpec calm = trains_[best_];
  calm.parameters.if_object()->insert_or_assign("pause", 0);
  calm.key = compute_key(calm);
  cluster_.submit("calm", {calm});
  ASSERT_TRUE(cluster_.ends(calm.key));
  EXPECT_EQ(cluster_.artifact(trains_[best_].key, "result"), cluster_.artifact(calm.key, "result"));
}

TEST_F(SearchOnACluster, ACoordinatorThatIsKilledForgetsNoDecisionAndTakesNoneTwice) {
  cluster_.start_worker("w1", 2);
  submit(halving());
  for (int kills = 0; kills < 3; ++kills) {
    const std::int64_t before = 10 * (kills + 1);
    ASSERT_TRUE(cluster_.eventually([&] {
      return std::any_of(trains_.begin(), trains_.end(),
                         [&](const TaskSpec& train) { return cluster_.step(train.key) >= before; });
    }));
    cluster_.coordinator().kill();
    cluster_.start_coordinator();
  }
  expect_the_best_at_its_end_and_others_pruned();
}

TEST_F(SearchOnACluster, MedianStoppingPrunesTheWorst) {
  SearchDefinition median = halving();
  median.method = SearchMethod::kMedian;
  median.others_min = 3;
  cluster_.start_worker("w1", 3);
  submit(median);
  EXPECT_TRUE(
      cluster_.eventually([&] { return count("succeeded") + count("pruned") == trains_.size(); },
                          std::chrono::seconds(80)));
  EXPECT_EQ(cluster_.state(trains_[best_].key), "succeeded");
}

}  // namespace
}  // namespace strata

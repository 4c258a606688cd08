// kill -9 of any process at any time: a sweep of real processes under a killer drawn from a seed
// ends with the table of an undisturbed one, nothing that anybody was told is taken back, and no
// process is left.
//
// STRATA_KILL_SEEDS=A..B (or one number) chooses the seeds; `scripts/soak kill` draws fresh ones.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <iostream>
#include <numeric>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "tests/support/random_killer.h"
#include "tests/support/sweep_witness.h"
#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

using namespace std::chrono_literals;
using testing::ProcessKind;
using testing::SeenPoint;

constexpr auto kTurn = 5ms;
constexpr auto kRoundMax = 150s;
const std::vector<std::string> kWorkers{"w1", "w2"};
constexpr const char* kPaceVariable = "STRATA_TEST_PAUSE";  // seconds between the steps of stages

using Steps = std::vector<std::pair<std::int64_t, std::string>>;  // step, metrics as JSON
using AttemptName = std::pair<std::string, std::int64_t>;         // task, number

struct StoredPoint {
  std::int64_t sequence = 0;
  std::int64_t step = 0;
  std::int64_t wall_ms = 0;
  std::string metrics{};
};
using StoredPoints = std::map<AttemptName, std::vector<StoredPoint>>;

struct Outcome {  // what a cluster says in the end
  std::map<std::string, std::string> table{};
  std::map<std::string, std::string> results{};  // by task
};

std::pair<std::uint64_t, std::uint64_t> seeds() {
  const char* given = std::getenv("STRATA_KILL_SEEDS");
  const std::string text = given == nullptr ? "1" : given;
  char* end = nullptr;
  const std::uint64_t first = std::strtoull(text.c_str(), &end, 10);
  const bool range = std::string_view(end).starts_with("..");
  return {first, range ? std::strtoull(end + 2, nullptr, 10) : first};
}

// Every point of the store, past all rules of reading.
StoredPoints stored_points(const std::filesystem::path& store) {
  constexpr const char* kScript = R"(
import sqlite3, sys
database = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
for row in database.execute("SELECT task, attempt, sequence, step, at_ms, metrics FROM point "
                            "JOIN series ON series.id = point.series ORDER BY task, attempt, sequence"):
    print(*row)
)";
  const auto listed =
      run_captured({.argv = {"python3", "-c", kScript, (store / "metrics.sqlite").string()}});
  EXPECT_TRUE(listed && listed->exit.ok());
  StoredPoints points;
  std::istringstream lines(listed ? listed->output : "");
  std::string task;
  std::int64_t attempt = 0;
  StoredPoint point;
  while (lines >> task >> attempt >> point.sequence >> point.step >> point.wall_ms >> point.metrics)
    points[{task, attempt}].push_back(point);
  return points;
}

// What the program of an attempt wrote, as far as it counts as a point.
Steps written_points(const std::filesystem::path& attempt_folder) {
  Steps steps;
  std::istringstream lines(read_file(attempt_folder / "progress.jsonl").value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const auto value = parse_json(line);
    const Value* metrics = value ? value->find("metrics") : nullptr;
    if (metrics == nullptr) continue;  // a checkpoint, or the half of a line at the moment of death
    steps.emplace_back(value->find("step")->if_number()->to_integer().value_or(-1),
                       to_canonical_json(*metrics));
  }
  return steps;
}

class Round {
 public:
  Round() {
    ::setenv(testing::kMarkVariable, mark().c_str(), 1);
    cluster_.start_coordinator();
    for (const std::string& name : kWorkers) cluster_.start_worker(name);
  }

  [[nodiscard]] std::string mark() const { return temporary_.path().string(); }
  testing::ClusterHarness& cluster() { return cluster_; }

  [[nodiscard]] Outcome outcome(const testing::SweepWitness& witness) {
    Outcome outcome{.table = testing::table_of(cluster_)};
    for (const auto& [task, told] : witness.succeeded())
      outcome.results.emplace(task, testing::results_of(cluster_, task));
    return outcome;
  }

  [[nodiscard]] std::filesystem::path folder_of(const AttemptName& attempt) const {
    const TaskKey task = parse_digest<TaskKey>(attempt.first).value();
    for (const std::string& worker : kWorkers) {
      const auto folder = cluster_.attempt_folder(worker, task, static_cast<int>(attempt.second));
      if (std::filesystem::exists(folder)) return folder;
    }
    return {};
  }

  // Nothing but the daemons and idle guards is left once everything has ended.
  void expect_idle() {
    const auto only_daemons = [&] {
      for (const auto& process : testing::marked_processes(mark())) {
        if (process.kind != ProcessKind::kCoordinator && process.kind != ProcessKind::kWorker &&
            process.kind != ProcessKind::kGuard)
          return false;
      }
      return true;
    };
    EXPECT_TRUE(cluster_.eventually(only_daemons, 10s))
        << "left:" << testing::in_words(testing::marked_processes(mark()));
  }

  // The polite end; afterwards there is nothing at all, and the store is sound.
  void end() {
    for (const std::string& name : kWorkers) cluster_.worker(name).signal(SIGTERM);
    for (const std::string& name : kWorkers) {
      const auto exit = cluster_.worker(name).wait(20s);
      EXPECT_TRUE(exit && exit->ok()) << name << (exit ? ": " + exit->describe() : " stays");
    }
    cluster_.coordinator().signal(SIGTERM);
    const auto exit = cluster_.coordinator().wait(20s);
    EXPECT_TRUE(exit && exit->ok()) << (exit ? exit->describe() : "the coordinator stays");
    const auto nothing = [&] { return testing::marked_processes(mark()).empty(); };
    EXPECT_TRUE(cluster_.eventually(nothing, 5s))
        << "left:" << testing::in_words(testing::marked_processes(mark()));
    const auto fsck =
        run_captured({.argv = {std::string(STRATA_BINARY_DIR) + "/bin/strata-coordinator", "fsck",
                               "--store", cluster_.store().string()}});
    EXPECT_TRUE(fsck && fsck->exit.ok()) << (fsck ? fsck->output : fsck.error().message);
  }

 private:
  testing::TemporaryFolder temporary_;
  testing::ClusterHarness cluster_{temporary_.path()};
};

const Outcome& undisturbed() {
  static const Outcome outcome = [] {
    ::setenv(kPaceVariable, "0", 1);
    Round round;
    testing::SweepWitness witness(round.cluster(), testing::kill_sweeps());
    EXPECT_TRUE(testing::ClusterHarness::eventually([&] { return witness.done(); }, 60s));
    witness.stop();
    EXPECT_EQ(witness.complaints(), "");
    const Outcome calm = round.outcome(witness);
    round.end();
    return calm;
  }();
  return outcome;
}

struct PointCounts {
  std::int64_t attempts = 0;
  std::int64_t points = 0;
};

// Points of an attempt are those that its program wrote, from the first on and each once; all of
// them where the attempt succeeded. What a client has seen is still there.
PointCounts expect_points(Round& round, const testing::SweepWitness& witness) {
  PointCounts counts;
  const StoredPoints stored = stored_points(round.cluster().store());
  std::set<SeenPoint> present;
  for (const auto& [attempt, points] : stored) {
    ++counts.attempts;
    counts.points += static_cast<std::int64_t>(points.size());
    const std::string name = fmt::format("{}#{}", attempt.first.substr(0, 8), attempt.second);
    const Steps written = written_points(round.folder_of(attempt));
    EXPECT_LE(points.size(), written.size()) << name;
    for (std::size_t i = 0; i < std::min(points.size(), written.size()); ++i) {
      EXPECT_EQ(points[i].sequence, static_cast<std::int64_t>(i + 1)) << name;
      EXPECT_EQ(std::make_pair(points[i].step, points[i].metrics), written[i]) << name;
      present.emplace(attempt.first, points[i].step, points[i].wall_ms);
    }
    const auto told = witness.succeeded().find(attempt.first);
    if (told != witness.succeeded().end() && told->second.attempts == attempt.second) {
      EXPECT_EQ(points.size(), written.size()) << name << ": points of a success are lost";
    }
  }
  for (const SeenPoint& seen : witness.points()) {
    EXPECT_TRUE(present.contains(seen)) << "a point that a client had seen is gone: step "
                                        << std::get<1>(seen) << " of " << std::get<0>(seen);
  }
  return counts;
}

// The series that a person sees is that of an undisturbed run: each step once, in order, none
// missing.
void expect_series(Round& round, const std::vector<testing::KillSweep>& sweeps) {
  for (const testing::KillSweep& sweep : sweeps) {
    for (const TaskSpec& task : sweep.tasks) {
      const Value* steps = task.parameters.find("steps");
      const std::int64_t last = steps == nullptr ? 3 : *steps->if_number()->to_integer();
      std::vector<std::int64_t> all(static_cast<std::size_t>(last));
      std::iota(all.begin(), all.end(), 1);
      EXPECT_EQ(round.cluster().metric_steps(task.key), all)
          << task.stage << " " << task.key.brief();
    }
  }
}

void tell(std::uint64_t seed, const testing::RandomKiller& killer, const PointCounts& counts,
          std::chrono::steady_clock::time_point began) {
  std::string kills;
  std::int64_t all = 0;
  for (const auto& [kind, number] : killer.kills()) {
    if (number > 0)
      kills += fmt::format("{}{} {}", kills.empty() ? "" : ", ", name_of(kind), number);
    all += number;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::cout << fmt::format(
                   "seed {}: {} kills ({}), {} attempts with {} points, {} daemons ended by "
                   "themselves, {:.1f} s",
                   seed, all, kills, counts.attempts, counts.points, killer.unexpected_ends(),
                   took.count())
            << std::endl;
}

void play(std::uint64_t seed) {
  SCOPED_TRACE(fmt::format("again with STRATA_KILL_SEEDS={}", seed));
  const auto began = std::chrono::steady_clock::now();
  const Outcome& calm = undisturbed();
  ::setenv(kPaceVariable, "0.06", 1);
  Round round;
  testing::RandomKiller killer(round.cluster(), round.mark(), {.seed = seed, .workers = kWorkers});
  const auto sweeps = testing::kill_sweeps();
  testing::SweepWitness witness(round.cluster(), sweeps);
  const auto until = std::chrono::steady_clock::now() + kRoundMax;
  while (!(witness.done() && killer.all_daemons_up()) && std::chrono::steady_clock::now() < until) {
    if (witness.done()) killer.hold();
    killer.turn();
    std::this_thread::sleep_for(kTurn);
  }
  EXPECT_TRUE(witness.done()) << "the sweeps have not ended";
  witness.stop();
  round.expect_idle();
  // What everybody was told before has to be in the log, not only in memory.
  round.cluster().coordinator().kill();
  round.cluster().start_coordinator();
  witness.look();
  EXPECT_EQ(witness.complaints(), "");
  for (const auto& [task, told] : witness.succeeded())
    EXPECT_EQ(told.results, testing::results_of(round.cluster(), task));
  const Outcome outcome = round.outcome(witness);
  EXPECT_EQ(outcome.table, calm.table);
  EXPECT_EQ(outcome.results, calm.results);
  EXPECT_EQ(killer.unexpected_ends(), 0);
  const PointCounts counts = expect_points(round, witness);
  expect_series(round, sweeps);
  round.end();
  tell(seed, killer, counts, began);
  if (!::testing::Test::HasFailure()) return;
  std::cerr << "what was done:\n" << killer.story();
  round.cluster().print_logs();
}

TEST(RandomKill, ASweepEndsWithTheTableOfAnUndisturbedOneWhateverIsKilled) {
  const auto [first, last] = seeds();
  for (std::uint64_t seed = first; seed <= last && !HasFailure(); ++seed) play(seed);
}

}  // namespace
}  // namespace strata

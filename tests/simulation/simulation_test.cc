// The quick part: a fixed list of seeds with what must have happened in them, the kept seeds of
// bugs, and for each rule that can be broken the first seed that finds it. The whole search is in
// break_search_test.cc, fresh seeds in scripts/check and scripts/soak.

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/subprocess.h"
#include "tests/simulation/breaks.h"
#include "tests/simulation/state_machine.h"
#include "tests/simulation/world.h"

namespace strata::simulation {
namespace {

std::string run_one(std::uint64_t seed, Statistics& total) {
  World world({.seed = seed});
  world.run();
  total.add(world.statistics());
  return world.violation() ? world.violation()->invariant + ": " + world.story() : "";
}

struct Minimum {
  const char* what;
  std::int64_t Statistics::*value;
  std::int64_t least;
};

// An idle simulation proves nothing: this much must really have happened in seeds 1..200.
const std::vector<Minimum> kLeast{{"steps", &Statistics::steps, 200'000},
                                  {"dropped", &Statistics::dropped, 10'000},
                                  {"duplicated", &Statistics::duplicated, 1'000},
                                  {"delayed", &Statistics::delayed, 2'000},
                                  {"partitions", &Statistics::partitions, 1'000},
                                  {"stalls", &Statistics::stalls, 1'000},
                                  {"frames given up", &Statistics::frames_given_up, 5'000},
                                  {"coordinator crashes", &Statistics::coordinator_crashes, 200},
                                  {"between effects", &Statistics::between_effects, 3},
                                  {"torn tails", &Statistics::torn_tails, 3},
                                  {"damaged logs", &Statistics::damaged_logs, 2},
                                  {"disks lost", &Statistics::disks_lost, 20},
                                  {"events forgotten", &Statistics::events_forgotten, 200},
                                  {"disks full", &Statistics::disks_full, 100},
                                  {"commits failed", &Statistics::commits_failed, 1'000},
                                  {"clock jumps", &Statistics::clock_jumps, 300},
                                  {"drifting workers", &Statistics::drifting_workers, 400},
                                  {"worker crashes", &Statistics::worker_crashes, 300},
                                  {"shut downs", &Statistics::shut_downs, 400},
                                  {"lifetimes ended", &Statistics::lifetimes_ended, 30},
                                  {"goodbyes", &Statistics::goodbyes, 300},
                                  {"drains", &Statistics::drains, 150},
                                  {"lies", &Statistics::lies, 1'000},
                                  {"broken machines", &Statistics::broken_machines, 150},
                                  {"ranks lost", &Statistics::ranks_lost, 60},
                                  {"failures", &Statistics::failures, 1'000},
                                  {"stubborn processes", &Statistics::stubborn, 250},
                                  {"expiries", &Statistics::expiries, 100},
                                  {"stale reports", &Statistics::stale_reports, 4'000},
                                  {"evictions", &Statistics::evictions, 200},
                                  {"submissions", &Statistics::submissions, 1'000},
                                  {"edits", &Statistics::edits, 250},
                                  {"cancels", &Statistics::cancels, 30},
                                  {"retries", &Statistics::retries, 150},
                                  {"attempts", &Statistics::attempts, 2'500},
                                  {"resumed", &Statistics::resumed, 400},
                                  {"quarantines", &Statistics::quarantines, 80},
                                  {"preemptions", &Statistics::preemptions, 25},
                                  {"points", &Statistics::points, 9'000},
                                  {"series checked", &Statistics::series_checked, 800},
                                  {"tasks succeeded", &Statistics::tasks_succeeded, 1'000}};

TEST(Simulation, InvariantsHoldUnderFaultsForAFixedListOfSeedsInWhichEnoughHappened) {
  Statistics total;
  for (std::uint64_t seed = 1; seed <= 200; ++seed)
    ASSERT_EQ(run_one(seed, total), "") << "seed " << seed;
  for (const Minimum& one : kLeast) EXPECT_GE(total.*one.value, one.least) << one.what;
  EXPECT_GT(total.simulated_hours, 30.0);
}

// Bugs of the product that the simulator has found; the commit that mended each says what was
// wrong.
TEST(Simulation, SeedsThatFoundABugAreKept) {
  Statistics total;
  for (const std::uint64_t seed : {13ULL, 244ULL, 246ULL, 291ULL, 881ULL, 4616ULL, 795401471514ULL})
    EXPECT_EQ(run_one(seed, total), "") << "seed " << seed;
}

TEST(Simulation, OneSeedIsOneRunByteForByte) {
  World first({.seed = 7});
  World second({.seed = 7});
  World other({.seed = 8});
  first.run();
  second.run();
  other.run();
  EXPECT_EQ(first.digest(), second.digest());
  EXPECT_NE(first.digest(), other.digest());
}

TEST(Simulation, AFailureIsToldWithTheSameBytesAgain) {
  const WorldOptions options{.seed = 1, .broken = coordinator::Break::kNoFencing};
  World first(options);
  World second(options);
  first.run();
  second.run();
  ASSERT_TRUE(first.violation().has_value());
  EXPECT_EQ(first.story(), second.story());
  EXPECT_LT(first.story().size(), 8'000U);  // a person reads it
}

TEST(Simulation, AsManyStepsAsAskedForAreMade) {
  World world({.seed = 1, .steps_max = 500});
  world.run();
  EXPECT_GE(world.statistics().steps, 500);
  EXPECT_LT(world.statistics().steps, 520);
}

class Breaks : public testing::TestWithParam<KnownBreak> {};

TEST_P(Breaks, IsFoundByTheInvariantItBreaksAndTheSeedHoldsWithoutIt) {
  const KnownBreak& rule = GetParam();
  // The seed that is kept finds it; where the rules have changed since, one of the next 200 must.
  for (std::uint64_t seed = rule.seed; seed < rule.seed + 200; ++seed) {
    World broken({.seed = seed, .broken = rule.rule});
    broken.run();
    if (!broken.violation()) continue;
    EXPECT_EQ(broken.violation()->invariant, rule.invariant) << broken.story();
    Statistics total;
    EXPECT_EQ(run_one(seed, total), "") << "seed " << seed;
    return;
  }
  FAIL() << rule.name << " is found by none of 200 seeds";
}

INSTANTIATE_TEST_SUITE_P(Simulation, Breaks, testing::ValuesIn(known_breaks()),
                         [](const testing::TestParamInfo<KnownBreak>& tested) {
                           std::string name = tested.param.name;
                           std::erase(name, '-');
                           return name;
                         });

strata::Captured simulate(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), STRATA_BINARY_DIR "/bin/strata-simulate");
  const auto finished = run_captured({.argv = std::move(arguments)});
  EXPECT_TRUE(finished.has_value());
  return finished.value_or(strata::Captured{});
}

TEST(SimulateProgram, ListsExactlyTheRulesThatCanBeBroken) {
  const auto listed = simulate({"--list-breaks"});
  EXPECT_EQ(listed.exit.code, 0);
  EXPECT_EQ(listed.output,
            "no-fencing\nact-before-commit\ndouble-grant\nslot-double-free\npartial-gang\n"
            "ignore-rank-loss\nduplicate-create\ndrop-deletes-result\nconsume-before-commit\n"
            "charge-infra-to-user\nendless-infra-retries\nclock-in-replay\naccept-torn-tail\n"
            "terminal-reopens\nunbounded-outbox\nmetrics-doubled-after-rollback\n"
            "cancel-shared-task\n");
}

TEST(SimulateProgram, PrintsTheStateMachineThatIsInTheDocumentation) {
  const auto page =
      read_file(std::filesystem::path(STRATA_SOURCE_DIR) / "docs" / "state-machine.md");
  ASSERT_TRUE(page.has_value());
  EXPECT_EQ(*page, state_machine_page())
      << "strata-simulate --state-machine > docs/state-machine.md";
}

TEST(SimulateProgram, SaysByItsExitCodeWhetherAnInvariantFellAndNamesTheSeed) {
  const auto fell = simulate({"--seeds", "1..200", "--break", "no-fencing"});
  EXPECT_EQ(fell.exit.code, 1);
  EXPECT_EQ(fell.output.substr(0, 22), "violated I3 seed 1\na r");
  EXPECT_EQ(simulate({"--seeds", "1..200", "--break", "no-fencing"}).output, fell.output);
  EXPECT_EQ(simulate({"--seeds", "1..2", "--stats"}).exit.code, 0);
}

TEST(SimulateProgram, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(simulate({"--break", "no-such-rule"}).exit.code, 2);
  EXPECT_EQ(simulate({"--break"}).exit.code, 2);
  EXPECT_EQ(simulate({"--seeds", "9..3"}).exit.code, 2);
  EXPECT_EQ(simulate({"--steps", "none"}).exit.code, 2);
  EXPECT_EQ(simulate({"--unknown"}).exit.code, 2);
}

}  // namespace
}  // namespace strata::simulation

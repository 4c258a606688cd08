// The slow part: within 200 seeds, wherever they begin, each broken rule is found, always by the
// invariant that it breaks.

#include <gtest/gtest.h>

#include "tests/simulation/breaks.h"
#include "tests/simulation/world.h"

namespace strata::simulation {
namespace {

constexpr std::uint64_t kSeeds = 200;

class BreakSearch : public testing::TestWithParam<std::tuple<KnownBreak, std::uint64_t>> {};

TEST_P(BreakSearch, FindsTheBrokenRuleAndNothingElse) {
  const auto& [rule, first] = GetParam();
  int found = 0;
  for (std::uint64_t seed = first; seed < first + kSeeds; ++seed) {
    World world({.seed = seed, .broken = rule.rule});
    world.run();
    if (!world.violation()) continue;
    ++found;
    EXPECT_EQ(world.violation()->invariant, rule.invariant)
        << "seed " << seed << ": " << world.story();
  }
  EXPECT_GE(found, 5) << "so few that other seeds may find none";
}

INSTANTIATE_TEST_SUITE_P(Simulation, BreakSearch,
                         testing::Combine(testing::ValuesIn(known_breaks()),
                                          testing::Values(1U, 1'000U, 987'000'000U)),
                         [](const auto& tested) {
                           std::string name = std::get<0>(tested.param).name;
                           std::erase(name, '-');
                           return fmt::format("{}From{}", name, std::get<1>(tested.param));
                         });

}  // namespace
}  // namespace strata::simulation

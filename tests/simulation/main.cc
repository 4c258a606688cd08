// strata-simulate: seeds through the simulated cluster. Exit 0 when every invariant held, 1 with
// the invariant, the seed and the lines of the trace that matter when one fell, 2 for bad
// arguments.

#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <optional>
#include <string_view>

#include "tests/simulation/breaks.h"
#include "tests/simulation/state_machine.h"
#include "tests/simulation/world.h"

namespace {

constexpr const char* kUsage =
    "usage: strata-simulate [--seeds A..B] [--steps M] [--break NAME] [--stats]\n"
    "       strata-simulate --list-breaks | --state-machine\n";

struct Arguments {
  std::uint64_t first = 1;
  std::uint64_t last = 20;
  std::int64_t steps_max = 0;
  bool stats = false;
  bool list = false;
  bool state_machine = false;
  const strata::simulation::KnownBreak* broken = nullptr;
};

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

bool read_seeds(std::string_view text, Arguments& arguments) {
  const std::size_t dots = text.find("..");
  if (dots == std::string_view::npos)
    return read_number(text, arguments.first) && read_number(text, arguments.last);
  return read_number(text.substr(0, dots), arguments.first) &&
         read_number(text.substr(dots + 2), arguments.last) && arguments.first <= arguments.last;
}

std::optional<Arguments> read(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    const std::string_view value(i + 1 < argc ? argv[i + 1] : "");
    bool good = true;
    bool taken = true;
    if (argument == "--stats") {
      arguments.stats = true;
      taken = false;
    } else if (argument == "--list-breaks") {
      arguments.list = true;
      taken = false;
    } else if (argument == "--state-machine") {
      arguments.state_machine = true;
      taken = false;
    } else if (argument == "--seeds") {
      good = read_seeds(value, arguments);
    } else if (argument == "--steps") {
      good = read_number(value, arguments.steps_max) && arguments.steps_max > 0;
    } else if (argument == "--break") {
      arguments.broken = strata::simulation::find_break(value);
      good = arguments.broken != nullptr;
    } else {
      std::fputs(kUsage, stderr);
      return {};
    }
    if (!good) {
      fmt::print(stderr, "strata-simulate: {} does not take \"{}\"{}\n{}", argument, value,
                 argument == "--break" ? "; --list-breaks names the rules" : "", kUsage);
      return {};
    }
    if (taken) ++i;
  }
  return arguments;
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = read(argc, argv);
  if (!arguments) return 2;
  if (arguments->list) {
    for (const auto& one : strata::simulation::known_breaks()) fmt::print("{}\n", one.name);
    return 0;
  }
  if (arguments->state_machine) {
    fmt::print("{}", strata::simulation::state_machine_page());
    return 0;
  }
  strata::simulation::WorldOptions options{.steps_max = arguments->steps_max};
  if (arguments->broken != nullptr) options.broken = arguments->broken->rule;
  strata::simulation::Statistics total;
  for (std::uint64_t seed = arguments->first; seed <= arguments->last; ++seed) {
    options.seed = seed;
    strata::simulation::World world(options);
    world.run();
    total.add(world.statistics());
    if (!world.violation()) continue;
    fmt::print("violated {} seed {}\n{}", world.violation()->invariant, seed, world.story());
    if (arguments->stats) fmt::print("{}", total.text());
    return 1;
  }
  if (arguments->stats) fmt::print("{}", total.text());
  fmt::print("{} seeds ({}..{}), every invariant held\n", arguments->last - arguments->first + 1,
             arguments->first, arguments->last);
  return 0;
}

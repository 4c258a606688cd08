// strata-simulate --seeds A..B [--stats]: exit 0 when every invariant held, 1 with the seed and a
// trace when one fell.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tests/simulation/world.h"

int main(int argc, char** argv) {
  std::uint64_t first = 1;
  std::uint64_t last = 20;
  bool stats = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument == "--stats") {
      stats = true;
    } else if (argument == "--seeds" && i + 1 < argc) {
      char* end = nullptr;
      first = std::strtoull(argv[++i], &end, 10);
      last = first;
      if (std::string_view(end).substr(0, 2) == "..") last = std::strtoull(end + 2, &end, 10);
      if (*end != '\0' || last < first) {
        std::fprintf(stderr, "strata-simulate: --seeds wants A..B, got %s\n", argv[i]);
        return 2;
      }
    } else {
      std::fprintf(stderr, "usage: strata-simulate [--seeds A..B] [--stats]\n");
      return 2;
    }
  }
  strata::simulation::Statistics total;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    strata::simulation::World world({.seed = seed});
    world.run();
    total.add(world.statistics());
    if (world.violation()) {
      std::printf("violated %s\nseed %llu\n", world.violation()->c_str(),
                  static_cast<unsigned long long>(seed));
      return 1;
    }
  }
  if (stats) std::fputs(total.text().c_str(), stdout);
  std::printf("%llu seeds, every invariant held\n",
              static_cast<unsigned long long>(last - first + 1));
  return 0;
}

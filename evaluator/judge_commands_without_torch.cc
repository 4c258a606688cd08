#include <fmt/format.h>

#include <cstdio>

#include "evaluator/judge_commands.h"

namespace strata::evaluator {
namespace {

int refuse(const char* command) {
  fmt::print(
      stderr,
      "strata-evaluator {}: built without torch (STRATA_WITH_TORCH=OFF), so it has no judges; "
      "the subcommands wer, normalize and compare work\n",
      command);
  return 2;
}

}  // namespace

int score_command(const std::filesystem::path&, const std::function<bool()>&) {
  return refuse("score");
}
int score_list_command(const ScoreListOptions&, const std::function<bool()>&) {
  return refuse("score");
}
int judges_list_command(const std::filesystem::path&, bool) { return refuse("judges list"); }
int judges_verify_command(const std::filesystem::path&, const std::vector<std::string>&, int) {
  return refuse("judges verify");
}

}  // namespace strata::evaluator

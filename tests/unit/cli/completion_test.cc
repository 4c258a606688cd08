#include "cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/subprocess.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;

std::vector<CommandShape> commands() {
  return {
      {.name = "plan",
       .help = "what it's [for]: a plan",
       .options = {{.name = "--gflops", .help = "of a slot", .takes_value = true}},
       .words = WordKind::kFile},
      {.name = "table",
       .help = "the table",
       .options =
           {{.name = "--format", .help = "form", .takes_value = true, .choices = {"text", "csv"}}},
       .words = WordKind::kSweep},
      {.name = "policy", .help = "try", .words = WordKind::kFile, .choices = {"test", "list"}},
      {.name = "completion", .help = "scripts", .choices = {"bash", "zsh"}}};
}

int check(const std::string& shell, const std::string& script) {
  const auto folder =
      make_temporary_folder(std::filesystem::temp_directory_path(), "strata-completion-");
  EXPECT_TRUE(folder.has_value());
  const auto file = *folder / "script";
  EXPECT_TRUE(write_file_atomic(file, script).has_value());
  const auto done = run_captured({.argv = {shell, "-n", file.string()}});
  std::filesystem::remove_all(*folder);
  return done ? done->exit.code : -1;
}

TEST(Completion, BashParsesItsScript) { EXPECT_EQ(check("bash", bash_completion(commands())), 0); }

TEST(Completion, ZshParsesItsScript) { EXPECT_EQ(check("zsh", zsh_completion(commands())), 0); }

TEST(Completion, FishParsesItsScript) { EXPECT_EQ(check("fish", fish_completion(commands())), 0); }

TEST(Completion, BashCompletesCommandsAndChoices) {
  const std::string script = bash_completion(commands()) + R"(
COMP_WORDS=(strata ta); COMP_CWORD=1; _strata; echo "${COMPREPLY[@]}"
COMP_WORDS=(strata table --format c); COMP_CWORD=3; _strata; echo "${COMPREPLY[@]}"
COMP_WORDS=(strata completion b); COMP_CWORD=2; _strata; echo "${COMPREPLY[@]}"
COMP_WORDS=(strata policy t); COMP_CWORD=2; _strata; echo "${COMPREPLY[@]}"
COMP_WORDS=(strata policy test /etc/passw); COMP_CWORD=3; _strata; echo "${COMPREPLY[@]}" | tr ' ' '\n' | grep -x /etc/passwd
)";
  const auto done = run_captured({.argv = {"bash", "-c", script}});
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->output, "table\ncsv\nbash\ntest\n/etc/passwd\n");
}

}  // namespace
}  // namespace strata::cli

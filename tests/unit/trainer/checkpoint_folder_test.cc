// Which checkpoint is gone on from, which are kept, and what a kill at any moment leaves of them.
#include "trainer/checkpoint_folder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <sstream>

#include "base/files.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/torch/torch.h"
#include "tests/support/temporary_folder.h"
#include "trainer/checkpoint_recipe.h"

namespace strata::trainer {
namespace {

namespace fs = std::filesystem;
using Updates = std::vector<std::int64_t>;

const Value kRecipe = recipe_of(Object{{"train", Object{{"lr", 0.001}}}}, 7);

TrainingState state_of(std::int64_t update) {
  return {.update = update,
          .average_calls = update,
          .tensors = {{"model.w", torch::full({64}, static_cast<double>(update))}},
          .early = {}};
}

class HandClock final : public Clock {
 public:
  [[nodiscard]] Instant now() const override { return now_; }
  [[nodiscard]] WallTime wall() const override { return {}; }
  void pass(Duration time) { now_ = now_ + time; }

 private:
  Instant now_{};
};

class CheckpointFolderTest : public ::testing::Test {
 protected:
  [[nodiscard]] fs::path of(std::int64_t update) const {
    return temporary_ / fmt::format("{:08}", update);
  }
  void save(std::int64_t update, const Value& recipe = kRecipe) {
    ASSERT_TRUE(save_checkpoint(of(update), recipe, state_of(update)));
  }
  // Whatever has been written, sorted.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(temporary_.path()))
      names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }
  [[nodiscard]] std::int64_t chosen(const std::optional<Value>& recipe = kRecipe) const {
    const auto choice = choose_checkpoint(temporary_.path(), recipe);
    if (!choice) return -1;
    EXPECT_TRUE(torch::equal(choice->state.tensors.at("model.w"),
                             state_of(choice->state.update).tensors.at("model.w")));
    return choice->state.update;
  }
  void damage(std::int64_t update, const char* file) {
    std::string bytes = *read_file(of(update) / file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
    ASSERT_TRUE(write_file_unsynced(of(update) / file, bytes));
  }

  testing::TemporaryFolder temporary_;
};

TEST_F(CheckpointFolderTest, TheNewestIsGoneOnFromAndATornOnePassedOver) {
  for (const std::int64_t update : {90, 100, 110}) save(update);
  EXPECT_EQ(chosen(), 110);
  damage(110, "state.safetensors");
  EXPECT_EQ(chosen(), 100);
  fs::resize_file(of(100) / "checkpoint.json", 20);
  EXPECT_EQ(chosen(), 90);
  fs::remove(of(90) / "state.safetensors");
  const auto none = choose_checkpoint(temporary_.path(), kRecipe);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kDamaged);
  EXPECT_NE(none.error().message.find("none of 3 checkpoints"), std::string::npos);
  EXPECT_NE(none.error().message.find(of(110).string()), std::string::npos);
}

TEST_F(CheckpointFolderTest, OneThatIsNamedItselfIsTakenOrRefusedNeverReplacedByAnother) {
  for (const std::int64_t update : {90, 100}) save(update);
  EXPECT_EQ(choose_checkpoint(of(90), kRecipe)->state.update, 90);
  damage(100, "checkpoint.json");
  EXPECT_EQ(choose_checkpoint(of(100), kRecipe).error().code, ErrorCode::kDamaged);
}

TEST_F(CheckpointFolderTest, WhereThereIsNoneItSaysSo) {
  EXPECT_EQ(choose_checkpoint(temporary_.path(), kRecipe).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(choose_checkpoint(temporary_ / "nowhere", kRecipe).error().code, ErrorCode::kNotFound);
}

TEST_F(CheckpointFolderTest, AnotherRecipeEndsTheSearchBecauseTheFolderIsSomebodyElses) {
  save(90);
  save(100, recipe_of(Object{{"train", Object{{"lr", 0.002}}}}, 7));
  const auto refused = choose_checkpoint(temporary_.path(), kRecipe);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_NE(refused.error().message.find("parameters.train.lr is 0.001, there 0.002"),
            std::string::npos)
      << refused.error().message;
  EXPECT_EQ(chosen(std::nullopt), 100) << "for an export any will do";
}

TEST_F(CheckpointFolderTest, AKillBetweenWritingAndRenamingLeavesTheOneBefore) {
  save(90);
  save(100);
  fs::rename(of(100), temporary_ / ".writing-00000100");  // written whole, not yet renamed
  EXPECT_EQ(chosen(), 90);
  fs::resize_file(temporary_ / ".writing-00000100" / "state.safetensors", 10);
  EXPECT_EQ(chosen(), 90);
}

TEST_F(CheckpointFolderTest, AKillBetweenTheTwoRenamesLeavesWhatStandsInForTheOldOne) {
  save(90);
  save(100);
  fs::copy(of(100), temporary_ / ".writing-00000100");
  fs::rename(of(100), temporary_ / ".replaced-00000100");
  EXPECT_EQ(chosen(), 100);
  EXPECT_EQ(choose_checkpoint(of(100), kRecipe)->state.update, 100) << "also by its own name";
  // The next life goes on at 100, and cleans up when it saves.
  const HandClock clock;
  CheckpointFolder folder(temporary_.path(), kRecipe, {}, {}, false, clock);
  ASSERT_TRUE(folder.save(state_of(110), {}));
  EXPECT_EQ(names(), (std::vector<std::string>{".replaced-00000100", "00000090", "00000110"}));
  ASSERT_TRUE(folder.save(state_of(100), {}));
  ASSERT_TRUE(folder.save(state_of(120), {}));
  EXPECT_EQ(names(), (std::vector<std::string>{"00000090", "00000100", "00000110", "00000120"}));
}

// Runs `what` in a process of its own and kills it after its system call number `call`, from 0,
// before it does anything more. False: it ended before that.
bool killed_after_call(int call, const std::function<bool()>& what) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    ::_exit(what() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSTOPPED(status)) << "it may not be traced";
  for (int stops = 0; stops < 2 * (call + 1); ++stops) {  // on the way in, and on the way out
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
    if (WIFSTOPPED(status)) continue;
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "it could not save";
    return false;
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return true;
}

TEST_F(CheckpointFolderTest, KilledAfterAnySystemCallOfASaveAWholeOneIsThere) {
  const HandClock clock;
  int call = 0;
  int stood_in = 0;
  for (bool killed = true; killed; ++call) {
    ASSERT_LT(call, 5'000);
    // From the same state every time: what the one before left behind would be calls more.
    for (const auto& left : fs::directory_iterator(temporary_.path())) fs::remove_all(left);
    save(8);
    CheckpointFolder folder(temporary_.path(), kRecipe, {}, {}, false, clock);
    killed = killed_after_call(call, [&] { return folder.save(state_of(8), {}).has_value(); });
    ASSERT_EQ(chosen(), 8) << "killed after call " << call;
    if (!fs::exists(of(8))) ++stood_in;
  }
  EXPECT_EQ(names(), std::vector<std::string>{"00000008"}) << "the last one was left alone";
  EXPECT_GT(call, 10);
  EXPECT_GT(stood_in, 0) << "one was killed between the two renames";
  std::cout << "killed at " << call - 1 << " moments\n";
}

TEST(KeepPolicy, WithoutANumberOfNewestOnesAllAreKept) {
  EXPECT_EQ(not_kept({.every = 50, .best = 1}, {{.update = 10}, {.update = 20}}), Updates{});
}

TEST(KeepPolicy, TheNewestTheMilestonesAndTheBestAreKept) {
  const std::vector<KnownCheckpoint> known{{.update = 10, .metric = 0.9},
                                           {.update = 20, .metric = 0.2},
                                           {.update = 30},
                                           {.update = 40, .metric = 0.5},
                                           {.update = 50, .metric = 0.2},
                                           {.update = 60, .metric = 0.7},
                                           {.update = 70}};
  EXPECT_EQ(not_kept({.last = 2}, known), (Updates{10, 20, 30, 40, 50}));
  EXPECT_EQ(not_kept({.last = 2, .every = 30}, known), (Updates{10, 20, 40, 50}));
  EXPECT_EQ(not_kept({.last = 2, .best = 1}, known), (Updates{10, 30, 40, 50}))
      << "of equal ones the earlier";
  EXPECT_EQ(not_kept({.last = 2, .best = 3}, known), (Updates{10, 30}));
  EXPECT_EQ(not_kept({.last = 2, .best = 1, .higher_is_better = true}, known),
            (Updates{20, 30, 40, 50}));
  EXPECT_EQ(not_kept({.last = 9}, known), Updates{});
}

TEST(KeepPolicy, WhatSomebodyMayBeCopyingIsKept) {
  EXPECT_EQ(
      not_kept({.last = 2},
               {{.update = 10}, {.update = 20, .in_use = true}, {.update = 30}, {.update = 40}}),
      Updates{10});
}

TEST_F(CheckpointFolderTest, ThePolicyIsKeptToOnTheDiskAndOverLives) {
  const HandClock clock;
  const KeepPolicy policy{.last = 2, .every = 40, .best = 1};
  const auto live = [&](Updates updates) {
    CheckpointFolder folder(temporary_.path(), kRecipe, {}, policy, false, clock);
    for (const std::int64_t update : updates) {
      const double loss = update == 20 ? 0.1 : 1.0 / static_cast<double>(update);
      ASSERT_TRUE(
          folder.save(state_of(update), {{"validation_loss", loss + 0.5 * (update == 50)}}));
      folder.keep_to_policy();
    }
    folder.clean_up();
  };
  live({10, 20, 30, 40, 50});
  EXPECT_EQ(names(), (std::vector<std::string>{"00000040", "00000050"}));
  live({60, 70});
  EXPECT_EQ(names(), (std::vector<std::string>{"00000040", "00000060", "00000070"}));
  // A life that went back: what lies ahead of it is not its to remove.
  live({50, 55});
  EXPECT_EQ(names(),
            (std::vector<std::string>{"00000040", "00000050", "00000055", "00000060", "00000070"}));
  EXPECT_EQ(chosen(), 70);
}

TEST_F(CheckpointFolderTest, TheBestByItsMetricIsFoundAgainByALaterLife) {
  const HandClock clock;
  const KeepPolicy policy{.last = 2, .best = 1};
  {
    CheckpointFolder folder(temporary_.path(), kRecipe, {}, policy, false, clock);
    ASSERT_TRUE(folder.save(state_of(10), {{"validation_loss", 0.1}}));
    ASSERT_TRUE(folder.save(state_of(20), {{"validation_loss", 0.3}}));
  }
  CheckpointFolder folder(temporary_.path(), kRecipe, {}, policy, false, clock);
  for (const std::int64_t update : {30, 40}) ASSERT_TRUE(folder.save(state_of(update), {}));
  folder.keep_to_policy();
  folder.clean_up();
  EXPECT_EQ(names(), (std::vector<std::string>{"00000010", "00000030", "00000040"}));
}

TEST_F(CheckpointFolderTest, UnderAWorkerNothingGoesThatItMayStillBeCopying) {
  HandClock clock;
  CheckpointFolder folder(temporary_.path(), kRecipe, {}, {.last = 2}, true, clock);
  for (const std::int64_t update : {10, 20, 30}) {
    ASSERT_TRUE(folder.save(state_of(update), {}));
    folder.keep_to_policy();
    clock.pass(std::chrono::minutes(4));
  }
  EXPECT_EQ(names(), (std::vector<std::string>{"00000010", "00000020", "00000030"}));
  ASSERT_TRUE(folder.save(state_of(40), {}));
  folder.keep_to_policy();
  EXPECT_EQ(names(),
            (std::vector<std::string>{".removed-00000010", "00000020", "00000030", "00000040"}))
      << "it is gone by its name at once, whole; its bytes go with the next save";
  ASSERT_TRUE(folder.save(state_of(50), {}));
  EXPECT_EQ(names(), (std::vector<std::string>{"00000020", "00000030", "00000040", "00000050"}));
}

TEST_F(CheckpointFolderTest, OfTheSecondFormatIsStillRead) {
  save(5);
  Value about = parse_json(*read_file(of(5) / "checkpoint.json")).value();
  Object& map = *about.if_object();
  map.erase("describes");
  map.erase("metrics");
  map.erase("validation_due");
  map.erase("own_sha256");
  map.insert_or_assign("format", 2);
  // From the definition of format 2, not from our writer: the hash of the canonical text.
  map.emplace("own_sha256", sha256_hex(to_canonical_json(about)));
  ASSERT_TRUE(write_file_unsynced(of(5) / "checkpoint.json", to_pretty_json(about)));
  EXPECT_EQ(chosen(), 5);
  map.insert_or_assign("update", 6);
  ASSERT_TRUE(write_file_unsynced(of(5) / "checkpoint.json", to_pretty_json(about)));
  EXPECT_EQ(chosen(), -1);
}

Value train_recipe(Object train) {
  return recipe_of(Object{{"model", Object{{"dim", 8}}}, {"train", std::move(train)}}, 1);
}

TEST(CheckpointRecipe, WhatCannotChangeTheResultMayChange) {
  const Value before = train_recipe({{"lr", 0.5}, {"checkpoint_every", 10}, {"validate_every", 5}});
  const Value after = train_recipe({{"lr", 0.5},
                                    {"progress_every", 3},
                                    {"checkpoint_every", 20},
                                    {"checkpoints", Object{{"last", 2}}},
                                    {"loading", Object{{"threads", 2}}}});
  EXPECT_EQ(recipe_difference(before, after), std::nullopt);
  EXPECT_EQ(recipe_difference(after, before), std::nullopt);
}

TEST(CheckpointRecipe, WhatCanChangeItIsNamed) {
  const Value before = train_recipe({{"lr", 0.5}});
  EXPECT_EQ(recipe_difference(before, train_recipe({{"lr", 0.25}})),
            "parameters.train.lr is 0.5, there 0.25");
  EXPECT_EQ(recipe_difference(before, train_recipe({{"lr", 0.5}, {"micro_batch", 2}})),
            "parameters.train.micro_batch is absent, there 2")
      << "other sums, other last bits";
  EXPECT_EQ(recipe_difference(before, recipe_of(*before.find("parameters"), 2)),
            "seed is 1, there 2");
  EXPECT_NE(recipe_difference(before, Value(3)), std::nullopt);
}

// `neutral:` of the pipeline file: "  name: value" until the next empty line.
std::map<std::string, std::string> neutral_of_the_pipeline() {
  std::istringstream text(
      *read_file(fs::path(STRATA_SOURCE_DIR) / "sweeps" / "pipelines" / "tts_alignment.yaml"));
  std::map<std::string, std::string> found;
  bool inside = false;
  for (std::string line; std::getline(text, line);) {
    if (line == "neutral:") {
      inside = true;
    } else if (line.empty()) {
      inside = false;
    } else if (inside) {
      const std::size_t colon = line.find(": ");
      found.emplace(line.substr(2, colon - 2), line.substr(colon + 2));
    }
  }
  return found;
}

TEST(CheckpointRecipe, ParametersThatCameLaterDoNotRefuseCheckpointsFromBeforeThem) {
  const auto neutral = neutral_of_the_pipeline();
  ASSERT_GE(neutral.size(), 10U);
  int of_train = 0;
  for (const auto& [name, text] : neutral) {
    const std::string top = name.substr(0, name.find('.'));
    if (top != "model" && top != "align" && top != "train" && top != "mel") continue;
    ++of_train;
    Value parameters = Object{{"model", Object{{"dim", 8}}}, {"train", Object{{"lr", 1}}}};
    const Value before = recipe_of(parameters, 1);
    ASSERT_TRUE(parameters.set(name, parse_json(text).value_or(Value(text))));
    EXPECT_EQ(recipe_difference(recipe_of(parameters, 1), before), std::nullopt) << name;
  }
  EXPECT_GE(of_train, 9);
}

}  // namespace
}  // namespace strata::trainer

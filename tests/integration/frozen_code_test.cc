// The command `strata`, a real coordinator and a real worker: what is submitted is what runs,
// whatever becomes of the working tree; and a plan holds or does not.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "base/files.h"
#include "base/json.h"
#include "tests/support/cluster_harness.h"
#include "tests/support/temporary_folder.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

class Frozen : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("XDG_CACHE_HOME", (temporary_ / "cache").c_str(), 1);
    cluster_.start_coordinator();
    fs::create_directories(sources());
    write_script("one");
    write_sweep("[1, 2]");
  }
  void TearDown() override {
    cluster_.stop_all();
    if (HasFailure()) cluster_.print_logs();
  }

  [[nodiscard]] fs::path sources() const { return temporary_ / "sources"; }
  void write_script(const std::string& word) const {
    std::ofstream(sources() / "train.sh")
        << "#!/bin/sh\n. \"$(dirname \"$0\")/lib.sh\"\nsay " << word << " > out/word\n";
    std::ofstream(sources() / "lib.sh") << "say() { echo \"$1\"; }\n";
    fs::permissions(sources() / "train.sh", fs::perms::owner_all);
  }
  void write_sweep(const std::string& values, const std::string& more = "") const {
    std::ofstream(sources() / "sweep.yaml") << "sweep: frozen\nbase: {a: 0}\ncode: [\"*.sh\"]\n"
                                               "axes: {a: "
                                            << values << "}\n"
                                            << more << R"(
stages:
  train: {program: mine, command: ["{folder}/train.sh"], reads: [a], outputs: [word]}
)";
  }

  struct Said {
    int code = 0;
    Value body{};
  };
  Said strata(std::vector<std::string> words) {
    std::vector<std::string> argv{std::string(STRATA_BINARY_DIR) + "/bin/strata", "--json",
                                  "--coordinator", (cluster_.store() / "coordinator.json")};
    argv.insert(argv.end(), words.begin(), words.end());
    const auto got = run_captured({.argv = argv});
    EXPECT_TRUE(got);
    auto body = parse_json(got->output);
    EXPECT_TRUE(body) << got->output;
    return {.code = got->exit.code, .body = body ? *body : Value()};
  }
  Said submit(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"submit", sources() / "sweep.yaml"});
    return strata(more);
  }
  Said plan() { return strata({"plan", sources() / "sweep.yaml"}); }

  struct Result {
    std::string state{};
    std::string word{};
    Value spec{};
  };
  // By the value of `a`, in all runs there are.
  std::map<std::string, Result> results() {
    std::map<std::string, Result> out;
    const Value runs = cluster_.ask("runs", Object{});
    for (const Value& run : *runs.find("runs")->if_array()) {
      const std::string task = *run.find("stages.train.task")->if_string();
      const Value shown = cluster_.ask("show", Object{{"prefix", task}});
      Result result{.state = *shown.find("state")->if_string(), .spec = *shown.find("spec")};
      if (const Value* path = shown.find("artifacts.word.path"))
        result.word = *read_file(*path->if_string());
      out[run.find("assignment")->if_object()->at("a").if_number()->text()] = result;
    }
    return out;
  }
  bool all_end() {
    return cluster_.eventually([&] {
      for (const auto& [a, result] : results()) {
        if (result.state != "succeeded") return false;
      }
      return true;
    });
  }

  testing::TemporaryFolder temporary_;
  testing::ClusterHarness cluster_{temporary_.path()};
};

TEST_F(Frozen, AQueuedTaskRunsTheCodeThatWasSubmitted) {
  EXPECT_EQ(submit().code, 0);
  write_script("two");
  std::ofstream(sources() / "lib.sh") << "say() { echo broken; }\n";
  cluster_.start_worker("w1");
  ASSERT_TRUE(all_end());
  for (const auto& [a, result] : results()) EXPECT_EQ(result.word, "one\n");
  const Value planned = plan().body;
  EXPECT_EQ(*planned.find("tasks.outdated"), Value(2)) << "made from other code: it says so";
  EXPECT_EQ(*planned.find("tasks.new"), Value(0));
  EXPECT_EQ(*submit().body.find("kept"), Value(2)) << "and nothing is made again unasked";
}

TEST_F(Frozen, WithCodeInTheKeyAnEditMakesNewTasks) {
  write_sweep("[1]", "identity: {code: key}\n");
  cluster_.start_worker("w1");
  EXPECT_EQ(*submit().body.find("created"), Value(1));
  ASSERT_TRUE(all_end());
  EXPECT_EQ(*submit().body.find("created"), Value(0));
  write_script("two");
  EXPECT_EQ(*submit().body.find("created"), Value(1));
}

TEST_F(Frozen, UnfrozenCodeRunsFromWhereItLiesAndTheTaskSaysSo) {
  EXPECT_EQ(submit({"--unfrozen"}).code, 0);
  write_script("two");
  cluster_.start_worker("w1");
  ASSERT_TRUE(all_end());
  for (const auto& [a, result] : results()) {
    EXPECT_EQ(result.word, "two\n");
    EXPECT_EQ(*result.spec.find("versions.unfrozen"), Value(sources().string()));
  }
}

TEST_F(Frozen, WhereTheArtifactFolderIsNotSeenTheTwoWaysOutAreNamed) {
  fs::rename(cluster_.store() / "artifacts/coordinators", temporary_ / "away");
  const Said refused = submit();
  EXPECT_EQ(refused.code, 1);
  const std::string& error = *refused.body.find("error")->if_string();
  EXPECT_NE(error.find((cluster_.store() / "artifacts").string()), std::string::npos) << error;
  EXPECT_NE(error.find("--unfrozen"), std::string::npos) << error;
}

TEST_F(Frozen, APlanHoldsForItsTasksAndForNoOthers) {
  const auto planned = [&] { return *plan().body.find("plan_id")->if_string(); };
  std::string id = planned();
  EXPECT_EQ(submit({"--if-plan", id}).code, 0);
  EXPECT_EQ(submit({"--if-plan", id}).code, 4) << "what was new is under way";
  id = planned();
  write_sweep("[1, 3]");
  EXPECT_EQ(submit({"--if-plan", id}).code, 4) << "another file";
  id = planned();
  write_script("two");
  EXPECT_EQ(submit({"--if-plan", id}).code, 4) << "other code";
  EXPECT_EQ(submit({"--if-plan", planned()}).code, 0);
  EXPECT_EQ(submit({"--if-plan", "0123456789ab"}).code, 4) << "never given out";
}

TEST_F(Frozen, EditingTheFileAndSubmittingAgainReconciles) {
  cluster_.start_worker("w1");
  EXPECT_EQ(*submit().body.find("created"), Value(2));
  ASSERT_TRUE(all_end());
  write_sweep("[2, 3]");  // 1 is dropped, 3 is added
  const Value planned = plan().body;
  EXPECT_EQ(*planned.find("tasks.new"), Value(1));
  EXPECT_EQ(*planned.find("tasks.kept"), Value(1));
  EXPECT_EQ(*planned.find("orphaned"), Value(1));
  EXPECT_EQ(planned.find("orphans")->if_array()->at(0).find("cell")->if_string()->substr(0, 3),
            "a=1");
  EXPECT_EQ(*planned.find("orphans")->if_array()->at(0).find("fate"), Value("kept"));
  EXPECT_EQ(*submit().body.find("created"), Value(1));
  ASSERT_TRUE(all_end());
  EXPECT_EQ(results().at("1").word, "one\n") << "an orphan keeps its result";
  const Value sweeps = cluster_.ask("sweeps", Object{});
  EXPECT_EQ(*sweeps.find("sweeps")->if_array()->at(0).find("orphans"), Value(1));
  write_sweep("[1, 2, 3]");  // 1 comes back, with its result
  EXPECT_EQ(*plan().body.find("tasks.kept"), Value(3));
  EXPECT_EQ(*submit().body.find("created"), Value(0));
  EXPECT_EQ(*cluster_.ask("sweeps", Object{}).find("sweeps")->if_array()->at(0).find("orphans"),
            Value(0));
}

TEST_F(Frozen, DataInTheKeyMakesNewTasksWhenItChanges) {
  const fs::path data = temporary_ / "data";
  fs::create_directories(data / "deep");
  std::ofstream(data / "deep/a.txt") << "one";
  write_sweep("[1]", "");
  std::ofstream(sources() / "sweep.yaml")
      << "sweep: data\nbase: {a: 1, corpus: " << data.string()
      << "}\nidentity: {data: {corpus: key}}\n"
         "stages:\n  train: {program: 'true', reads: [a, corpus]}\n";
  EXPECT_EQ(*submit().body.find("created"), Value(1));
  EXPECT_EQ(*submit().body.find("created"), Value(0));
  std::ofstream(data / "deep/a.txt") << "two";
  EXPECT_EQ(*submit().body.find("created"), Value(1));
  fs::remove_all(data);
  const Said gone = submit();
  EXPECT_EQ(gone.code, 2);
  EXPECT_NE(gone.body.find("error")->if_string()->find("absolute path"), std::string::npos);
}

}  // namespace
}  // namespace strata

#include "cli/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/files.h"
#include "base/json.h"
#include "tests/support/artifact_folder.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/cli/answers.h"

namespace strata::cli {
namespace {

using ::testing::HasSubstr;

using Answers = std::map<std::string, Result<Value>>;

class FakeClient final : public Client {
 public:
  explicit FakeClient(const Answers& answers, std::string* asked = nullptr)
      : answers_(answers), asked_(asked) {}
  Result<Value> ask(const std::string& verb, const Value& body) override {
    if (asked_ != nullptr) *asked_ += verb + " " + to_canonical_json(body) + "\n";
    const auto found = answers_.find(verb);
    if (found == answers_.end()) return fail(ErrorCode::kNotFound, "no answer to {}", verb);
    return found->second;
  }
  Result<Value> submit(const SubmitTasks& batch) override {
    return ask("submit", Object{{"id", batch.id}});
  }

 private:
  const Answers& answers_;
  std::string* asked_;
};

struct Desk {
  strata::testing::TemporaryFolder folder{};
  Answers answers{};
  std::string printed{};
  std::string asked{};
  SystemClock clock{};
  Context context{[this]() -> Result<std::unique_ptr<Client>> {
                    return std::make_unique<FakeClient>(answers, &asked);
                  },
                  [this](const std::string& text) { printed += text; }, clock};
  Desk() {
    context.wait = [](double) { return false; };
    strata::testing::mark_artifact_folder(folder / "artifacts", "c");
    answers["status"] =
        Value(Object{{"coordinator", "c"}, {"artifacts", (folder / "artifacts").string()}});
  }
};

Value watch_of(Object tasks, std::int64_t behind_diverged = 0) {
  return Object{{"sweep", "small"},
                {"sealed", true},
                {"tasks", std::move(tasks)},
                {"behind_diverged", behind_diverged}};
}

TEST(Commands, WatchEndsWithThreeWhenRunsFailedAndWithZeroWhenOneDiverged) {
  Desk failed;
  failed.answers["watch"] = watch_of({{"succeeded", 1}, {"failed", 1}});
  EXPECT_EQ(run_watch(failed.context, "small", false).value(), kExitRunsFailed);
  Desk diverged;
  diverged.answers["watch"] = watch_of({{"succeeded", 1}, {"diverged", 1}});
  EXPECT_EQ(run_watch(diverged.context, "small", false).value(), kExitOk);
  diverged.answers["watch"] = watch_of({{"diverged", 1}, {"blocked", 2}}, 2);
  EXPECT_EQ(run_watch(diverged.context, "small", false).value(), kExitOk)
      << "what waits for it has not failed";
  diverged.answers["watch"] = watch_of({{"diverged", 1}, {"blocked", 3}}, 2);
  EXPECT_EQ(run_watch(diverged.context, "small", false).value(), kExitRunsFailed);
}

TEST(Commands, WhatASearchPrunedAndWhatWaitsForItIsNoFailure) {
  Desk pruned;
  Value watch = watch_of({{"succeeded", 1}, {"pruned", 2}, {"blocked", 2}});
  ASSERT_TRUE(watch.set("behind_pruned", 2));
  pruned.answers["watch"] = watch;
  EXPECT_EQ(run_watch(pruned.context, "small", false).value(), kExitOk);
}

TEST(Commands, WatchOfACancelledSweepEndsWithThree) {
  Desk desk;
  desk.answers["watch"] = watch_of({{"succeeded", 1}, {"cancelled", 2}});
  EXPECT_EQ(run_watch(desk.context, "small", false).value(), kExitRunsFailed)
      << "what was asked for is not there";
  desk.answers["watch"] = watch_of({{"succeeded", 3}});
  EXPECT_EQ(run_watch(desk.context, "small", false).value(), kExitOk)
      << "another sweep has wanted all of it";
}

TEST(Commands, AWatchThatASignalEndsGivesTheCodeOfTheSignal) {
  Desk desk;
  desk.answers["watch"] = watch_of({{"running", 1}});
  EXPECT_EQ(run_watch(desk.context, "small", false).value(), 128 + SIGINT);
  desk.context.signal = [] { return SIGTERM; };
  EXPECT_EQ(run_watch(desk.context, "small", false).value(), 128 + SIGTERM);
  EXPECT_EQ(run_watch(desk.context, "small", true).value(), kExitOk) << "--once waits for nothing";
}

TEST(Commands, WatchAsksOnWhenTheCoordinatorIsAwayForAWhile) {
  Desk desk;
  desk.answers["watch"] = watch_of({{"running", 1}});
  int waits = 0;
  desk.context.wait = [&](double) {
    ++waits;
    if (waits == 1)
      desk.answers.insert_or_assign(
          "watch", tl::unexpected(Error{ErrorCode::kUnavailable, "nobody answers"}));
    if (waits == 3) desk.answers.insert_or_assign("watch", watch_of({{"succeeded", 1}}));
    return waits < 10;
  };
  EXPECT_EQ(run_watch(desk.context, "small", false).value(), kExitOk);
  EXPECT_EQ(waits, 3);
  EXPECT_THAT(desk.printed, HasSubstr("no answer, asking on: nobody answers"));
  // One that never answered is not waited for.
  Desk nobody;
  nobody.answers["watch"] = tl::unexpected(Error{ErrorCode::kUnavailable, "nobody answers"});
  EXPECT_FALSE(run_watch(nobody.context, "small", false));
}

TEST(Commands, SubmitIfPlanGivesFourWhenTheWorldMovedAndSaysNothingIsNewOtherwise) {
  const std::string file = std::string(STRATA_SOURCE_DIR) + "/sweeps/smoke.yaml";
  Desk moved;
  moved.answers["submit"] = tl::unexpected(Error{ErrorCode::kConflict, "the world has moved"});
  EXPECT_EQ(run_submit(moved.context, {.file = file, .if_plan = "p1"}).value(), kExitWorldMoved);
  EXPECT_THAT(moved.printed, HasSubstr("the world has moved"));
  const auto without = run_submit(moved.context, {.file = file});
  ASSERT_FALSE(without.has_value());
  EXPECT_EQ(exit_code_of(without.error()), kExitFailed);
  Desk again;
  again.answers["submit"] = Value(Object{{"kept", 21}, {"runs", 10}});
  EXPECT_EQ(run_submit(again.context, {.file = file}).value(), kExitOk);
  EXPECT_EQ(again.printed, "nothing is new: all 21 tasks of smoke exist (10 runs)\n");
}

TEST(Commands, SubmitCountsEveryTaskOnceAsNewKeptOrRevived) {
  const std::string file = std::string(STRATA_SOURCE_DIR) + "/sweeps/smoke.yaml";
  Desk desk;
  desk.answers["submit"] =
      Value(Object{{"created", 2}, {"kept", 16}, {"revived", 3}, {"runs", 10}, {"generation", 4}});
  EXPECT_EQ(run_submit(desk.context, {.file = file}).value(), kExitOk);
  EXPECT_EQ(desk.printed,
            "submitted smoke (generation 4): 10 runs; tasks: 2 new, 16 kept, 3 revived\n");
}

TEST(Commands, ASubmissionThatIsNotAnsweredSaysWhatTheCoordinatorSaysOfItself) {
  const std::string file = std::string(STRATA_SOURCE_DIR) + "/sweeps/smoke.yaml";
  Desk desk;
  desk.answers["submit"] = tl::unexpected(Error{ErrorCode::kUnavailable, "no answer"});
  Value status = *desk.answers.at("status");
  ASSERT_TRUE(status.set("dispatch", "paused: writing events.sqlite: the disk is full"));
  desk.answers.insert_or_assign("status", status);
  const auto sent = run_submit(desk.context, {.file = file});
  ASSERT_FALSE(sent.has_value());
  EXPECT_EQ(sent.error().message,
            "no answer. Its dispatch is paused: writing events.sqlite: the disk is full");
}

TEST(Commands, DigitsThatAreTooFewNameWhoBeginsWithThem) {
  Desk desk;
  for (const char* verb : {"show", "explain"})
    desk.answers[verb] =
        tl::unexpected(Error{ErrorCode::kConflict, "71cc is not unique: give more digits"});
  EXPECT_EQ(run_show(desk.context, "71cc").error().message, "71cc is not unique: give more digits");
  const auto task = [](const char* stage, const std::string& digits) {
    return Object{{"stage", stage}, {"task", digits + std::string(64 - digits.size(), '0')}};
  };
  desk.answers["tasks"] =
      Value(Object{{"tasks", Array{task("train", "71cc09ab12cd"), task("score", "71ccff")}}});
  const std::string whole =
      "71cc is not unique: give more digits; it may be train 71cc09ab12cd, score 71ccff000000";
  EXPECT_EQ(run_show(desk.context, "71cc").error().message, whole);
  EXPECT_EQ(run_explain(desk.context, "71cc").error().message, whole);
  EXPECT_EQ(run_logs(desk.context, "71cc", false).error().message, whole);
  desk.answers["tasks"] = Value(Object{{"tasks", Array{task("train", "71cc09ab12cd")}}});
  EXPECT_THAT(run_show(desk.context, "71cc").error().message,
              HasSubstr("it may be train 71cc09ab12cd, a run"));
}

TEST(Commands, ABadFileIsWrongUsage) {
  Desk desk;
  const auto done = run_plan(desk.context, "/nonexistent/sweep.yaml", {});
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(exit_code_of(done.error()), kExitUsage);
}

TEST(Commands, TableAndPlanAsJsonAreJson) {
  Desk desk;
  desk.context.json = true;
  desk.answers["sweeps"] = Value(
      Object{{"sweeps", Array{Object{{"sweep", "small"}, {"definition", small_definition()}}}}});
  desk.answers["runs"] = Value(
      Object{{"runs", Array{run_answer({.scores = {{.name = "wer", .items = {0.1, 0.2}}}})}}});
  desk.answers["tasks"] = Value(Object{{"tasks", Array{}}});
  EXPECT_EQ(run_table(desk.context, {.sweep = "small"}).value(), kExitOk);
  const auto table = parse_json(desk.printed);
  ASSERT_TRUE(table.has_value()) << desk.printed;
  EXPECT_NE(table->find("rows"), nullptr);
  desk.printed.clear();
  EXPECT_EQ(
      run_plan(desk.context, std::string(STRATA_SOURCE_DIR) + "/sweeps/smoke.yaml", {}).value(),
      kExitOk);
  EXPECT_TRUE(parse_json(desk.printed).has_value());
}

TEST(Commands, AScoreThatNobodyHasIsRefusedWithThoseThatThereAre) {
  Desk desk;
  desk.answers["sweeps"] = Value(
      Object{{"sweeps", Array{Object{{"sweep", "small"}, {"definition", small_definition()}}}}});
  desk.answers["runs"] = Value(
      Object{{"runs", Array{run_answer({.scores = {{.name = "loss", .items = {0.1, 0.2}}}})}}});
  desk.answers["tasks"] = Value(Object{{"tasks", Array{}}});
  const auto table = run_table(desk.context, {.sweep = "small", .scores = {"lost"}});
  ASSERT_FALSE(table.has_value());
  EXPECT_EQ(table.error().message, "sweep 'small' has no score 'lost'; it has loss, wer");
  const auto trace = run_trace(desk.context, {.sweep = "small", .cell = "text=0", .score = "lost"});
  ASSERT_FALSE(trace.has_value());
  EXPECT_THAT(trace.error().message, HasSubstr("it has loss"));
}

TEST(Commands, AQuerySaysWhichOfItsNamesNobodyHas) {
  Desk desk;
  desk.answers["search"] =
      Value(Object{{"runs", Array{}}, {"matched", 0}, {"unknown_names", Array{"nope"}}});
  EXPECT_EQ(run_query_command(desk.context, {.text = "nope = 3"}).value(), kExitFailed);
  EXPECT_THAT(desk.printed, HasSubstr("0 runs\nno run has a parameter or a score called nope\n"));
}

TEST(Commands, AStateThatNoRunCanHaveIsWrongUsage) {
  Desk desk;
  desk.answers["search"] = Value(Object{{"runs", Array{}}, {"matched", 0}});
  for (const char* text : {"state = done", "state = done or state = finished limit 3"}) {
    const auto asked = run_query_command(desk.context, {.text = text});
    ASSERT_FALSE(asked.has_value()) << text;
    EXPECT_EQ(exit_code_of(asked.error()), kExitUsage);
    EXPECT_THAT(asked.error().message,
                HasSubstr("holds for no state that a run may have: failed, diverged, cancelled"));
  }
  for (const char* text :
       {"state = held", "state != done", "state = done or seed = 1", "", "cell = x"})
    EXPECT_EQ(run_query_command(desk.context, {.text = text}).value(), kExitOk) << text;
}

TEST(Commands, RetryWhereANameIsUnknownIsAnError) {
  Desk desk;
  desk.answers["sweeps"] = Value(Object{{"sweeps", Array{Object{{"sweep", "small"}}}}});
  desk.answers["search"] = Value(Object{{"runs", Array{}}, {"unknown_names", Array{"zz"}}});
  const auto retried = run_retry(desk.context, "small", "zz = 1");
  ASSERT_FALSE(retried.has_value());
  EXPECT_EQ(retried.error().message, "--where: no run has a parameter or a score called zz");
}

TEST(Commands, APlotOverAParameterThatNoRunHasIsRefused) {
  Desk desk;
  desk.answers["sweeps"] = Value(
      Object{{"sweeps", Array{Object{{"sweep", "small"}, {"definition", small_definition()}}}}});
  desk.answers["runs"] = Value(
      Object{{"runs", Array{run_answer({.scores = {{.name = "wer", .items = {0.1, 0.2}}}})}}});
  desk.answers["tasks"] = Value(Object{{"tasks", Array{}}});
  const std::string out = (desk.folder / "p.svg").string();
  const auto plot = [&](const std::string& x) {
    return run_plot(desk.context, {.sweep = "small", .x = x, .y = "wer", .out = out});
  };
  ASSERT_FALSE(plot("nosuch").has_value());
  EXPECT_EQ(plot("nosuch").error().message,
            "sweep 'small' has no parameter 'nosuch'; what varies in it: align.text.layer");
  EXPECT_TRUE(plot("align.text.layer").has_value());
  EXPECT_TRUE(plot("model.depth").has_value()) << "it does not vary, and is a parameter";
}

TEST(Commands, ATableWithoutAnyScoreSaysSo) {
  Desk desk;
  Value definition = small_definition();
  ASSERT_TRUE(definition.set("table", Object{}));
  desk.answers["sweeps"] =
      Value(Object{{"sweeps", Array{Object{{"sweep", "small"}, {"definition", definition}}}}});
  desk.answers["runs"] = Value(Object{{"runs", Array{run_answer({})}}});
  desk.answers["tasks"] = Value(Object{{"tasks", Array{}}});
  const auto table = run_table(desk.context, {.sweep = "small"});
  ASSERT_FALSE(table.has_value());
  EXPECT_EQ(table.error().message,
            "no run of sweep 'small' has a score yet; strata watch small shows how far it is");
}

TEST(Commands, AQueryInGroupsShowsWhatTheyHaveInCommonTheirNumberAndMeans) {
  Desk desk;
  const auto group = [](int layer, int runs, Value wer) {
    return Object{{"by", Object{{"align.text.layer", layer}}},
                  {"runs", runs},
                  {"values", Object{{"wer", std::move(wer)}}}};
  };
  desk.answers["search"] =
      Value(Object{{"groups", Array{group(0, 3, Object{{"n", 3}, {"mean", 0.25}, {"sd", 0.125}}),
                                    group(8, 2, Object{{"n", 0}})}},
                   {"matched", 5},
                   {"unknown_names", Array{}}});
  EXPECT_EQ(run_query_command(desk.context, {.by = {"align.text.layer"}, .mean = {"wer"}}).value(),
            kExitOk);
  EXPECT_EQ(desk.printed,
            "align.text.layer  runs   wer   ± sd  n\n"
            "──────────────────────────────────────\n"
            "               0     3  0.25  0.125  3\n"
            "               8     2     –      –  0\n"
            "2 groups\n");
}

TEST(Commands, RetryingWhereNothingFailedSaysSo) {
  Desk desk;
  desk.answers["sweeps"] = Value(Object{{"sweeps", Array{Object{{"sweep", "small"}}}}});
  desk.answers["retry"] = Value(Object{{"revived", 0}});
  EXPECT_EQ(run_retry(desk.context, "small", "").value(), kExitOk);
  EXPECT_EQ(
      desk.printed,
      "nothing to retry: none of these tasks failed or was cancelled (a pruned one is named by "
      "itself)\n");
}

TEST(Commands, AWorkerIsReleasedByItsNumberOrName) {
  Desk desk;
  const Value quarantine = Object{{"reason", "three tasks failed"}, {"probing", false}};
  desk.answers["workers"] = Value(Object{{"workers", Array{Object{{"worker", 1},
                                                                  {"name", "gpu-07"},
                                                                  {"memory_mb", 65'536},
                                                                  {"memory_free_mb", 12'800},
                                                                  {"quarantine", quarantine}}}}});
  desk.answers["release"] = Value(Object{{"worker", "gpu-07"}});
  for (const char* word : {"1", "gpu-07"}) {
    desk.asked.clear();
    EXPECT_EQ(run_release(desk.context, word).value(), kExitOk);
    EXPECT_THAT(desk.asked, HasSubstr(R"(release {"worker":"gpu-07"})"));
  }
  ASSERT_TRUE(run_release(desk.context, "gpu-09"));
  EXPECT_THAT(desk.asked, HasSubstr(R"(release {"worker":"gpu-09"})"))
      << "one that is not connected may be in quarantine";
  desk.printed.clear();
  EXPECT_EQ(run_workers(desk.context).value(), kExitOk);
  EXPECT_THAT(desk.printed, HasSubstr("12.5 of 64 GiB free"));
  EXPECT_THAT(desk.printed, HasSubstr("ends it: strata release 'gpu-07'"));
}

TEST(Commands, TheStagesOfARunStandInTheOrderOfItsSweep) {
  Desk desk;
  const Object stage{{"state", "succeeded"}};
  desk.answers["sweeps"] = Value(Object{
      {"sweeps",
       Array{Object{{"sweep", "small"},
                    {"definition", Object{{"stages", Array{Object{{"name", "train"}},
                                                           Object{{"name", "score"}}}}}}}}}});
  desk.answers["show"] =
      Value(Object{{"kind", "run"},
                   {"sweeps", Array{Object{{"sweep", "small"}}}},
                   {"stages", Object{{"score", stage}, {"train", stage}, {"copy", stage}}}});
  EXPECT_EQ(run_show(desk.context, "abcd").value(), kExitOk);
  EXPECT_LT(desk.printed.find("train"), desk.printed.find("score"));
  EXPECT_LT(desk.printed.find("score"), desk.printed.find("copy")) << "an unknown one is last";
}

TEST(Client, ACoordinatorOnThisMachineWhoseProcessIsGoneIsNotWaitedForLong) {
  link::AddressFile file{.address = "tcp://127.0.0.1:4000", .pid = ::getpid()};
  EXPECT_EQ(patience_for(file), kAnswerPatience);
  file.pid = 0x3fffffff;  // above every limit of Linux
  EXPECT_EQ(patience_for(file), kGonePatience);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  siginfo_t ended{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  file.pid = child;
  EXPECT_EQ(patience_for(file), kGonePatience) << "it has ended, and nobody has collected it";
  ::waitpid(child, nullptr, 0);
  file.address = "tcp://10.0.0.7:4000";
  EXPECT_EQ(patience_for(file), kAnswerPatience) << "a number of another machine says nothing";
}

// A port that nobody listens at: one that was ours a moment ago.
std::string closed_address() {
  const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(probe, reinterpret_cast<const sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(probe);
  return "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
}

TEST(Client, ACoordinatorThatHasEndedOnThisMachineIsSaidWithHowToStartIt) {
  const strata::testing::TemporaryFolder folder;
  const std::filesystem::path path = folder / link::kAddressFileName;
  const link::AddressFile file{.address = closed_address(), .pid = 0x3fffffff, .coordinator = "c"};
  ASSERT_TRUE(link::write_address_file(path, file));
  const auto client = connect(path.string());
  ASSERT_TRUE(client.has_value());
  const auto answer = (*client)->ask("status", Object{});
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(answer.error().message,
            fmt::format("the coordinator has ended, or is being started: there is no process "
                        "1073741823 any more, and nobody listens at {}. Start it again as it was "
                        "started, with the same --store and options",
                        file.address));
  ASSERT_TRUE(write_file_atomic(folder / "up.json", "{}"));
  EXPECT_THAT((*client)->ask("status", Object{}).error().message,
              HasSubstr("with `strata up` and the same options"));
}

TEST(Commands, AnUnknownSweepIsSaid) {
  Desk desk;
  desk.answers["sweeps"] = Value(Object{{"sweeps", Array{}}});
  const auto done = run_table(desk.context, {.sweep = "small"});
  ASSERT_FALSE(done.has_value());
  EXPECT_THAT(done.error().message, HasSubstr("no sweep 'small'"));
}

}  // namespace
}  // namespace strata::cli

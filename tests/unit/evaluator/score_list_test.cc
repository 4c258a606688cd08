#include "evaluator/score_list.h"

#include <gmock/gmock.h>

#include "base/audio/audio_file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/subprocess.h"
#include "evaluator/scoring.h"
#include "tests/unit/evaluator/scratch_folder.h"

namespace strata::evaluator {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Gives a recording the half of its first sample times eight; counts how often it is asked.
class FakeMos final : public MosJudge {
 public:
  explicit FakeMos(int& calls) : calls_(calls) {}
  const JudgeInfo& info() const override { return info_; }
  Result<double> rate(Samples recording) override {
    ++calls_;
    return 4 * static_cast<double>(recording.front());
  }

 private:
  int& calls_;
  JudgeInfo info_{.name = "fake-mos", .role = "mos", .version = 1, .identity = "id"};
};

class FakeSpeaker final : public SpeakerJudge {
 public:
  const JudgeInfo& info() const override { return info_; }
  Result<std::vector<float>> embed(Samples recording) override {
    return std::vector<float>{1.0F, recording.front()};
  }

 private:
  JudgeInfo info_{.name = "fake-speaker", .role = "speaker", .version = 1, .identity = "id"};
};

class ScoreList : public ScratchFolder {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_folder(folder() / "models").has_value());
    for (const char* name : {"wavs/1-2-4", "wavs/1-2-5", "clean/1/2/1-2-3"}) tone(name, 0.5F);
    tone("wavs/1-2-5", 0.25F);
    std::filesystem::rename(folder() / "clean/1/2/1-2-3.wav", folder() / "clean/1/2/1-2-3.flac");
    write("cross.lst", row("1-2-5") + row("1-2-4"));
  }

  void tone(const std::string& name, float level) const {
    const auto path = folder() / (name + ".wav");
    EXPECT_TRUE(make_folder(path.parent_path()).has_value());
    EXPECT_TRUE(write_wav(path, std::vector<float>(1600, level), kJudgeRate).has_value());
  }
  static std::string row(const std::string& target) {
    return "1-2-3\t3.1\tA prompt it is.\t" + target + "\t4.05\tGood day.\r\n";
  }
  [[nodiscard]] ScoreListOptions options() const {
    return {.list = folder() / "cross.lst",
            .wavs = folder() / "wavs",
            .prompts = folder() / "clean",
            .models = folder() / "models",
            .protocol = "f5",
            .speaker = "fake-speaker",
            .mos = "fake-mos"};
  }
  [[nodiscard]] static std::string error_of(const ScoreListOptions& options) {
    const auto task = prepare_list_task(options);
    return task ? "no error" : task.error().message;
  }
  // As score_list_command runs it, with judges of our own.
  Result<ScoringEnd> run(const ListTask& task, int stop_after = 1000) {
    STRATA_CHECK_OK(prepare_out(task.spec.report));
    calls_ = 0;
    Judges judges;
    judges.speaker = std::make_unique<FakeSpeaker>();
    judges.mos = std::make_unique<FakeMos>(calls_);
    return run_scoring(task.spec, judges,
                       {.attempt = task.spec.report,
                        .stop_requested = [&] { return calls_ >= stop_after; },
                        .seconds = [] { return 0.0; },
                        .environment = task.environment,
                        .checkpoints = false});
  }

  int calls_ = 0;
};

TEST_F(ScoreList, APublishedListAndAFolderGiveATask) {
  const auto task = prepare_list_task(options()).value();
  ASSERT_EQ(task.spec.rows.size(), 2U);
  EXPECT_EQ(task.spec.rows[0].id, "1-2-4");  // by id, as every task
  EXPECT_EQ(task.spec.rows[0].line, 2U);
  EXPECT_EQ(task.spec.rows[0].audio_file, folder() / "wavs/1-2-4.wav");
  EXPECT_EQ(task.spec.rows[0].prompt_file, folder() / "clean/1/2/1-2-3.flac");
  EXPECT_EQ(task.spec.report, folder() / "wavs.scores");
  EXPECT_EQ(task.spec.protocol.name, "f5");
  EXPECT_EQ(task.spec.mos.value().name, "fake-mos");
  EXPECT_FALSE(task.spec.asr.has_value());
  EXPECT_THAT(task.warnings, IsEmpty());
  EXPECT_EQ(task.environment.at("list_file_sha256"), Value(sha256_hex(read("cross.lst"))));
  EXPECT_EQ(task.environment.at("list_format"), Value("librispeech-pc"));
}

TEST_F(ScoreList, TheReportNamesTheListAndTheTableItsScores) {
  const auto task = prepare_list_task(options()).value();
  ASSERT_EQ(run(task).value(), ScoringEnd::kDone);
  const Value report = parse_json(read("wavs.scores/report.json")).value();
  EXPECT_EQ(*report.find("environment.list_file_sha256"), Value(sha256_hex(read("cross.lst"))));
  EXPECT_EQ(*report.find("environment.list_file"), Value("cross.lst"));
  const std::string table = scores_text(task, false).value();
  EXPECT_THAT(table,
              AllOf(HasSubstr("cross.lst, 2 utterances, protocol f5 1\n"),
                    HasSubstr("\nscore    value  95 % interval       n  better  judge\n"),
                    HasSubstr("\nmos    1.50000  1.00000 .. 2.00000  2  higher  fake-mos@1\n"),
                    HasSubstr("wavs.scores/report.json\n")));
  const Value json = parse_json(scores_text(task, true).value()).value();
  EXPECT_EQ(*json.find("list_file_sha256"), Value(sha256_hex(read("cross.lst"))));
  const Array& scores = *json.find("scores")->if_array();
  ASSERT_EQ(scores.size(), 2U);
  EXPECT_EQ(*scores[1].find("value"), Value(1.5));
  EXPECT_EQ(scores[1].find("items"), nullptr);
}

TEST_F(ScoreList, StoppedAndStartedAgainItGoesOnAndGivesTheSameBytes) {
  auto whole = options();
  whole.out = folder() / "whole";
  const auto task = prepare_list_task(whole).value();
  ASSERT_EQ(run(task).value(), ScoringEnd::kDone);
  auto halves = options();
  halves.out = folder() / "halves/";
  const auto again = prepare_list_task(halves).value();
  ASSERT_EQ(run(again, 1).value(), ScoringEnd::kStopped);
  EXPECT_EQ(calls_, 1);
  EXPECT_FALSE(std::filesystem::exists(folder() / "halves/checkpoints"));
  ASSERT_EQ(run(again).value(), ScoringEnd::kDone);
  EXPECT_EQ(calls_, 1);
  for (const char* name : {"utterances.jsonl", "report.json", "scores.json"})
    EXPECT_EQ(read(std::string("halves/") + name), read(std::string("whole/") + name)) << name;
}

TEST_F(ScoreList, FiguresOfAnEarlierRunDoNotOutliveItsRecordings) {
  const auto task = prepare_list_task(options()).value();
  ASSERT_EQ(run(task).value(), ScoringEnd::kDone);
  tone("wavs/1-2-5", 0.75F);
  ASSERT_EQ(run(task, 0).value(), ScoringEnd::kStopped);
  EXPECT_FALSE(std::filesystem::exists(folder() / "wavs.scores/report.json"));
  EXPECT_FALSE(std::filesystem::exists(folder() / "wavs.scores/scores.json"));
  EXPECT_TRUE(std::filesystem::exists(folder() / "wavs.scores/utterances.jsonl"));
}

TEST_F(ScoreList, AllThatIsMissingIsNamedAtOnceWithItsLines) {
  write("cross.lst", row("1-2-6") + "\r\n" + row("1-2-4") + row("1-2-7"));
  tone("wavs/1-2-7", 0.5F);
  std::filesystem::rename(folder() / "wavs/1-2-7.wav", folder() / "wavs/1-2-7.flac");
  const auto task = prepare_list_task(options());
  ASSERT_FALSE(task.has_value());
  EXPECT_EQ(task.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(task.error().message,
              AllOf(HasSubstr("cross.lst: 3 problems:\n  " + folder().string() +
                              "/cross.lst:1: \"1-2-6.wav\""),
                    HasSubstr("/cross.lst:2: a blank line"),
                    HasSubstr("/cross.lst:4: \"1-2-7.wav\""), HasSubstr("(1-2-7.flac is there")));
}

TEST_F(ScoreList, PromptsAreLookedForOnlyWhereAJudgeHearsThem) {
  auto o = options();
  std::filesystem::remove_all(folder() / "clean/1");
  EXPECT_THAT(error_of(o), HasSubstr("\"1/2/1-2-3.flac\" of utterance \"1-2-4\""));
  o.speaker = "";
  o.prompts = "";
  EXPECT_FALSE(prepare_list_task(o).value().spec.rows[0].prompt.has_value());
  o.speaker = "fake-speaker";
  EXPECT_THAT(error_of(o), HasSubstr("test-clean folder with --prompts"));
}

TEST_F(ScoreList, PromptsOfMetaLstAreRelativeToItsFolder) {
  tone("seed/prompts/p", 0.5F);
  write("seed/meta.lst", "1-2-4|A prompt.|prompts/p.wav|Text.\n1-2-5|Text.\n");
  auto o = options();
  o.list = folder() / "seed/meta.lst";
  o.prompts = "";
  EXPECT_THAT(error_of(o), HasSubstr("meta.lst:2: utterance \"1-2-5\" has no prompt"));
  write("seed/meta.lst", "1-2-4|A prompt.|prompts/p.wav|Text.\n");
  const auto task = prepare_list_task(o).value();
  EXPECT_EQ(task.spec.rows[0].prompt_file, folder() / "seed/prompts/p.wav");
  EXPECT_THAT(task.warnings, ElementsAre(HasSubstr("1 recording that no row of meta.lst names")));
  o.prompts = folder() / "clean";
  EXPECT_THAT(error_of(o), HasSubstr((folder() / "clean/prompts/p.wav").string()));
}

TEST_F(ScoreList, OurOwnListNeedsNoFolderOfRecordings) {
  write("wavs/list.jsonl",
        R"({"id": "a", "audio": "1-2-4.wav", "text": "x", "prompt": null})"
        "\n"
        R"({"id": "b", "audio": "1-2-5.wav", "text": null, "prompt": "1-2-4.wav"})"
        "\n");
  auto o = options();
  o.list = folder() / "wavs/list.jsonl";
  o.wavs = "";
  o.prompts = "";
  o.asr = "fake-asr";
  const auto task = prepare_list_task(o).value();
  EXPECT_EQ(task.spec.rows[1].prompt_file, folder() / "wavs/1-2-4.wav");
  EXPECT_THAT(task.warnings,
              ElementsAre(AllOf(HasSubstr("1 of 2 rows have no text and so no wer, the first at "),
                                HasSubstr("wavs/list.jsonl:2")),
                          AllOf(HasSubstr("1 of 2 rows have no prompt and so no sim_o, the first"),
                                HasSubstr("wavs/list.jsonl:1"))));
}

TEST_F(ScoreList, RecordingsThatNoRowNamesAreCountedAndTheFirstIsNamed) {
  tone("wavs/more/z", 0.5F);
  tone("wavs/b", 0.5F);
  write("wavs/notes.txt", "no recording");
  EXPECT_THAT(prepare_list_task(options()).value().warnings,
              ElementsAre(AllOf(HasSubstr("2 recordings"), HasSubstr("the first b.wav"))));
}

TEST_F(ScoreList, EveryWrongOptionIsNamedWithWhatToDo) {
  const auto error_with = [&](auto change) {
    auto o = options();
    change(o);
    return error_of(o);
  };
  EXPECT_THAT(error_with([](auto& o) { o.protocol = ""; }), HasSubstr("--protocol is missing"));
  EXPECT_THAT(error_with([](auto& o) { o.protocol = "f6"; }), HasSubstr("no protocol \"f6\""));
  EXPECT_THAT(error_with([](auto& o) { o.speaker = o.mos = ""; }), HasSubstr("no judge is named"));
  EXPECT_THAT(error_with([](auto& o) { o.mos = "../x"; }), HasSubstr("--mos ../x: must be the"));
  EXPECT_THAT(error_with([](auto& o) { o.models = ""; }), HasSubstr("--models is missing"));
  EXPECT_THAT(error_with([](auto& o) { o.models = "/none"; }), HasSubstr("--models /none: there"));
  EXPECT_THAT(error_with([](auto& o) { o.wavs = ""; }), HasSubstr("--wavs is missing"));
  EXPECT_THAT(error_with([](auto& o) { o.wavs = "/none"; }), HasSubstr("--wavs /none: there is"));
  EXPECT_THAT(error_with([](auto& o) { o.prompts = "/none"; }),
              HasSubstr("--prompts /none: there"));
  EXPECT_THAT(error_with([](auto& o) { o.list = "/none.lst"; }), HasSubstr("/none.lst"));
  EXPECT_THAT(error_with([](auto& o) { o.format = "kaldi"; }), HasSubstr("no list format"));
  EXPECT_THAT(error_with([](auto& o) { o.format = "seed-tts"; }),
              HasSubstr("cross.lst:1: 1 field"));
}

// The program itself.
TEST_F(ScoreList, WrongInputIsExitCodeTwo) {
  const auto run_program = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), std::string(STRATA_BINARY_DIR) + "/bin/strata-evaluator");
    return wait_exit(spawn({.argv = arguments,
                            .folder = folder(),
                            .stdout_file = folder() / "out",
                            .stderr_file = folder() / "err"})
                         .value())
        .value()
        .code;
  };
  EXPECT_EQ(run_program({"score"}), 2);
  EXPECT_THAT(read("err"), HasSubstr("either a spec file or a list"));
  EXPECT_EQ(run_program({"score", "spec.json", "--list", "cross.lst"}), 2);
  EXPECT_EQ(run_program({"score", "spec.json", "--wavs", "wavs"}), 2);
  EXPECT_EQ(run_program({"score", "--list", "cross.lst", "--wavs", "wavs", "--protocol", "f5",
                         "--models", "models", "--mos", "absent"}),
            2);
  EXPECT_FALSE(std::filesystem::exists(folder() / "wavs.scores"));
}

}  // namespace
}  // namespace strata::evaluator

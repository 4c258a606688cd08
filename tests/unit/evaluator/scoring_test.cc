#include "evaluator/scoring.h"

#include <gmock/gmock.h>

#include <cmath>

#include "base/audio/audio_file.h"
#include "base/json.h"
#include "tests/unit/evaluator/scratch_folder.h"

namespace strata::evaluator {
namespace {

using testing::HasSubstr;

// Judges whose answers follow from the recording alone. They count how often they are asked.
class FakeAsr final : public AsrJudge {
 public:
  explicit FakeAsr(int& calls) : calls_(calls) {}
  const JudgeInfo& info() const override { return info_; }
  Result<std::vector<Transcript>> transcribe(std::span<const Samples> recordings) override {
    std::vector<Transcript> transcripts;
    for (const Samples& recording : recordings) {
      ++calls_;
      if (recording.size() == kDeaf) return fail(ErrorCode::kInternal, "deaf");
      if (recording.size() == kNoNumber) return fail(ErrorCode::kInvalid, "gave NaN");
      // 1600 samples more for each word that the recording does not say right.
      const std::string wrong = recording.size() >= 4800   ? " One too three."
                                : recording.size() >= 3200 ? " One, two three four."
                                                           : " One two, three!";
      transcripts.push_back({.text = wrong, .no_speech_prob = 0.125, .windows = 1});
    }
    return transcripts;
  }
  static constexpr std::size_t kDeaf = 1000;
  static constexpr std::size_t kNoNumber = 1001;

 private:
  int& calls_;
  JudgeInfo info_{.name = "fake-asr", .role = "asr", .version = 1, .identity = "asr-identity"};
};

class FakeSpeaker final : public SpeakerJudge {
 public:
  const JudgeInfo& info() const override { return info_; }
  Result<std::vector<float>> embed(Samples recording) override {
    return std::vector<float>{1.0F, 10 * recording.front()};
  }

 private:
  JudgeInfo info_{
      .name = "fake-speaker", .role = "speaker", .version = 1, .identity = "speaker-identity"};
};

class FakeMos final : public MosJudge {
 public:
  explicit FakeMos(std::string identity)
      : info_{.name = "fake-mos", .role = "mos", .version = 1, .identity = std::move(identity)} {}
  const JudgeInfo& info() const override { return info_; }
  Result<double> rate(Samples recording) override {
    return 1 + 4 * std::abs(static_cast<double>(recording.front()));
  }

 private:
  JudgeInfo info_;
};

class Scoring : public ScratchFolder {
 protected:
  void SetUp() override {
    add("a", "generated", 1600, 0.5F);
    add("b", "generated", 3200, 0.25F);
    add("c", "generated", 4800, 0.125F);
    add("a", "recordings", 1700, 0.75F);
    write_list();
  }

  void add(const std::string& id, const std::string& set, std::size_t samples, float level,
           const std::string& text = "one two three") {
    const std::string name = set + "-" + id + ".wav";
    EXPECT_TRUE(make_folder(folder() / "audio").has_value());
    EXPECT_TRUE(write_wav(folder() / "audio" / name, std::vector<float>(samples, level), kJudgeRate)
                    .has_value());
    lines_.push_back(to_canonical_json(Object{{"id", id},
                                              {"set", set},
                                              {"audio", name},
                                              {"text", text},
                                              {"prompt", "generated-a.wav"},
                                              {"speaker", "s"},
                                              {"seconds", 1}}) +
                     "\n");
  }
  void write_list() const {
    std::string text;
    for (const auto& line : lines_) text += line;
    write("audio/list.jsonl", text);
  }

  // One attempt in a folder of its own; stops when so many recordings have been heard.
  Result<ScoringEnd> attempt(const std::string& name, int stop_after = 1000,
                             const std::string& resume = "") {
    const auto own = folder() / name;
    EXPECT_TRUE(make_folder(own).has_value());
    ScoreSpec spec{.audio = folder() / "audio",
                   .report = own / "report",
                   .protocol = find_protocol("f5").value()};
    spec.bootstrap.resamples = 200;
    if (!resume.empty()) spec.resume = folder() / resume;
    if (with_validation_) spec.validation = folder() / "validation";
    if (with_corpus_) spec.corpus = folder() / "corpus";
    calls_ = 0;
    Judges judges;
    judges.asr = std::make_unique<FakeAsr>(calls_);
    judges.speaker = std::make_unique<FakeSpeaker>();
    judges.mos = std::make_unique<FakeMos>(mos_identity_);
    double now = 0;
    return run_scoring(spec, judges,
                       {.attempt = own,
                        .stop_requested = [&] { return calls_ >= stop_after; },
                        .seconds = [&] { return now += 1; }});
  }
  [[nodiscard]] std::string outputs(const std::string& name) const {
    return read(name + "/report/utterances.jsonl") + read(name + "/report/report.json") +
           read(name + "/scores.json");
  }

  std::vector<std::string> lines_;
  int calls_ = 0;
  std::string mos_identity_ = "mos-identity";
  bool with_validation_ = false;
  bool with_corpus_ = false;
};

TEST_F(Scoring, EveryRecordingGetsALineAndTheScoresAreTheirMeans) {
  ASSERT_EQ(attempt("one").value(), ScoringEnd::kDone);
  const Value scores = parse_json(read("one/scores.json")).value();
  const Array& list = *scores.find("scores")->if_array();
  const auto find = [&](const std::string& name) -> const Value& {
    for (const Value& score : list) {
      if (*score.find("name") == Value(name)) return score;
    }
    ADD_FAILURE() << name;
    return list.front();
  };
  EXPECT_EQ(find("wer").find("items")->if_object()->at("b"), Value(1.0 / 3));
  EXPECT_DOUBLE_EQ(find("wer").find("value")->to_double().value(), 2.0 / 9);
  EXPECT_EQ(*find("wer").find("judge"), Value("fake-asr@1"));
  EXPECT_EQ(*find("wer/recordings").find("value"), Value(0.0));
  EXPECT_NEAR(find("sim_o").find("items")->if_object()->at("a").to_double().value(), 1.0, 1e-12);
  EXPECT_EQ(*find("mos/recordings").find("value"), Value(4.0));
  const Value report = parse_json(read("one/report/report.json")).value();
  EXPECT_EQ(*report.find("judges.asr.identity"), Value("asr-identity"));
  EXPECT_EQ(*report.find("protocol.name"), Value("f5"));
  EXPECT_EQ(*report.find("sets.generated.wer_corpus.counts.insertions"), Value(1));
  EXPECT_EQ(*report.find("sets.generated.wer_corpus.counts.substitutions"), Value(1));
  const std::string progress = read("one/progress.jsonl");
  EXPECT_THAT(progress, HasSubstr(R"("step":1,"total":4)"));
  EXPECT_THAT(progress, HasSubstr(R"("step":4,"total":4)"));
}

TEST_F(Scoring, TheOrderOfTheListChangesNoByte) {
  ASSERT_TRUE(attempt("one").has_value());
  std::ranges::reverse(lines_);
  write_list();
  ASSERT_TRUE(attempt("two").has_value());
  EXPECT_EQ(outputs("one"), outputs("two"));
}

TEST_F(Scoring, ARunThatIsStoppedGoesOnFromItsCheckpointToTheSameBytes) {
  ASSERT_TRUE(attempt("whole").has_value());
  for (int heard = 0; heard < 4; ++heard) {
    const std::string first = fmt::format("first-{}", heard);
    const std::string second = fmt::format("second-{}", heard);
    ASSERT_EQ(attempt(first, heard).value(), ScoringEnd::kStopped);
    EXPECT_FALSE(std::filesystem::exists(folder() / first / "scores.json"));
    const std::string checkpoint = fmt::format("checkpoints/{:08}", heard);
    EXPECT_THAT(read(first + "/progress.jsonl"),
                HasSubstr(fmt::format(R"({{"checkpoint":"{}","step":{}}})", checkpoint, heard)));
    ASSERT_EQ(attempt(second, 1000, first + "/" + checkpoint).value(), ScoringEnd::kDone);
    EXPECT_EQ(calls_, 4 - heard);
    EXPECT_EQ(outputs(second), outputs("whole"));
  }
}

TEST_F(Scoring, ALineTornByAKillIsScoredAgainToTheSameBytes) {
  ASSERT_TRUE(attempt("whole").has_value());
  const std::string lines = read("whole/report/utterances.jsonl");
  for (const std::size_t kept :
       {lines.size() - 1, lines.size() - 40, lines.find('\n') + 30, std::size_t{1}}) {
    const std::string name = fmt::format("torn-{}", kept);
    write(name + "/report/utterances.jsonl", lines.substr(0, kept));
    ASSERT_EQ(attempt(name).value(), ScoringEnd::kDone);
    EXPECT_GE(calls_, kept == lines.size() - 1 ? 0 : 1);
    EXPECT_LT(calls_, kept == 1 ? 5 : 4);
    EXPECT_EQ(outputs(name), outputs("whole"));
  }
}

TEST_F(Scoring, ALineOfAnotherRecordingOrJudgeIsScoredAgain) {
  ASSERT_TRUE(attempt("one").has_value());
  ASSERT_TRUE(attempt("one").has_value());
  EXPECT_EQ(calls_, 0);
  ASSERT_TRUE(
      write_wav(folder() / "audio/generated-b.wav", std::vector<float>(1600, 0.3F), kJudgeRate)
          .has_value());
  ASSERT_TRUE(attempt("one").has_value());
  EXPECT_EQ(calls_, 1);
  mos_identity_ = "another";
  ASSERT_TRUE(attempt("one").has_value());
  EXPECT_EQ(calls_, 4);
}

TEST_F(Scoring, AJudgesErrorNamesTheRecording) {
  add("d", "generated", FakeAsr::kDeaf, 0.5F);
  write_list();
  const auto end = attempt("one");
  ASSERT_FALSE(end.has_value());
  EXPECT_THAT(end.error().message, HasSubstr("generated-d.wav: deaf"));
}

TEST_F(Scoring, WhatCannotBeScoredIsNamedAndHarmsNoOther) {
  add("d", "generated", FakeAsr::kNoNumber, 0.5F);
  add("e", "generated", 1600, 0.5F);
  add("f", "generated", 1600, 0.25F);
  write_list();
  write("audio/generated-e.wav", "RIFF and no more");
  const auto end = attempt("one");
  ASSERT_FALSE(end.has_value());
  EXPECT_EQ(end.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(end.error().message, HasSubstr("2 of 7 recordings cannot be scored"));
  EXPECT_THAT(end.error().message, HasSubstr("generated-d.wav: gave NaN"));
  EXPECT_THAT(end.error().message, HasSubstr("generated-e.wav"));
  EXPECT_EQ(read("one/scores.json"), "(missing)");
  EXPECT_THAT(read("one/report/utterances.jsonl"), HasSubstr(R"("id":"f")"));
  // Mended, the same folder scores these two and nothing else; so does another from the checkpoint.
  ASSERT_TRUE(
      write_wav(folder() / "audio/generated-d.wav", std::vector<float>(1600, 0.5F), kJudgeRate));
  ASSERT_TRUE(
      write_wav(folder() / "audio/generated-e.wav", std::vector<float>(1600, 0.5F), kJudgeRate));
  EXPECT_EQ(attempt("two", 1000, "one/checkpoints/00000005").value(), ScoringEnd::kDone);
  EXPECT_EQ(calls_, 2);
  EXPECT_EQ(attempt("one").value(), ScoringEnd::kDone);
  EXPECT_EQ(calls_, 2);
  EXPECT_EQ(attempt("whole").value(), ScoringEnd::kDone);
  EXPECT_EQ(calls_, 7);
  EXPECT_EQ(read("one/scores.json"), read("whole/scores.json"));
}

TEST_F(Scoring, ARowWithoutTextHasNoWerAndARowWithoutPromptNoSim) {
  lines_ = {
      R"({"id":"a","set":"generated","audio":"generated-a.wav","text":null,"prompt":null,"speaker":"s","seconds":1})"};
  write_list();
  ASSERT_TRUE(attempt("one").has_value());
  EXPECT_EQ(calls_, 0);
  const std::string scores = read("one/scores.json");
  EXPECT_THAT(scores, HasSubstr("\"mos\""));
  EXPECT_THAT(scores, testing::Not(HasSubstr("wer")));
  EXPECT_THAT(scores, testing::Not(HasSubstr("sim_o")));
}

TEST_F(Scoring, ValidationLossesAreScoredBesideTheAudio) {
  with_validation_ = true;
  write("validation/validation.jsonl",
        "{\"id\":\"x\",\"update\":10,\"which\":\"early\",\"loss\":2,\"loss_permuted\":null}\n"
        "{\"id\":\"x\",\"update\":90,\"which\":\"last\",\"loss\":1,\"loss_permuted\":1.5}\n");
  ASSERT_TRUE(attempt("one").has_value());
  const std::string scores = read("one/scores.json");
  EXPECT_THAT(scores, HasSubstr(R"("items":{"x":0.5},"low":0.5,"name":"text_use")"));
  EXPECT_THAT(scores, HasSubstr("flow_loss_gain"));
}

TEST_F(Scoring, AudioOfAnotherCorpusIsRefused) {
  with_corpus_ = true;
  write("corpus/manifest.jsonl", R"({"id": "a", "text": "One, two, three."})");
  EXPECT_TRUE(attempt("one").has_value());
  write("corpus/manifest.jsonl", R"({"id": "a", "text": "Something else."})");
  EXPECT_THAT(attempt("two").error().message, HasSubstr("do not belong together"));
}

TEST(Cosine, IsTheCosineOfTheAngle) {
  EXPECT_DOUBLE_EQ(cosine(std::vector<float>{3, 4}, std::vector<float>{6, 8}), 1.0);
  EXPECT_DOUBLE_EQ(cosine(std::vector<float>{1, 0}, std::vector<float>{0, 2}), 0.0);
  EXPECT_NEAR(cosine(std::vector<float>{1, 0}, std::vector<float>{1, 1}), std::sqrt(0.5), 1e-15);
}

}  // namespace
}  // namespace strata::evaluator

// Every kind of finding on a made corpus that has exactly it; that a sound corpus has none; and
// that what is said of CTC and of mels is what the loss and the front end do.
#include "trainer/feasibility.h"

#include <gtest/gtest.h>

#include <functional>

#include "base/audio/audio_file.h"
#include "base/files.h"
#include "base/json.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/trainer/synthetic.h"
#include "trainer/check_program.h"
#include "trainer/data/features.h"
#include "trainer/data/manifest.h"
#include "trainer/losses/objective.h"

namespace strata::trainer {
namespace {

constexpr int kRate = 22'050;  // that of the mel `hifigan`
constexpr double kTeacherRate = 50;

class Feasible : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 12; ++i) {
      const std::string id = fmt::format("utt-{:02}", i);
      items_.push_back({.id = id,
                        .audio = "wavs/" + id + ".wav",
                        .samples = kRate + 1000 * i,
                        .rate = kRate,
                        .text = fmt::format("hello {}", std::string(1, static_cast<char>('a' + i))),
                        .speaker = "ann",
                        .split = i < 9 ? Split::kTrain : Split::kHeldout,
                        .sha256 = fmt::format("{:064}", i)});
    }
    parameters_ = Object{{"model", Object{{"dim", 32}, {"depth", 2}, {"heads", 2}}},
                         {"train", Object{{"updates", 100}, {"warmup", 10}, {"batch", 4}}}};
  }

  void write() {
    ASSERT_TRUE(make_folder(temporary_ / "corpus"));
    ASSERT_TRUE(write_file_unsynced(temporary_ / "corpus/manifest.jsonl", format_manifest(items_)));
    ASSERT_TRUE(write_file_unsynced(temporary_ / "corpus/pairs.jsonl", ""));
    ASSERT_TRUE(write_file_unsynced(temporary_ / "corpus/vocab.txt",
                                    " \na\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\no\n"));
    FeatureIndex index;
    for (const Item& item : items_) {
      index[item.id] = {.file = "features-00000.safetensors",
                        .frames = static_cast<std::int64_t>(item.seconds() * kTeacherRate),
                        .sha256 = item.sha256};
    }
    change_(index);
    NamedTensors shard;
    for (const auto& [id, entry] : index)
      shard.emplace(id, at::zeros({entry.frames, 8}, at::kHalf));
    ASSERT_TRUE(make_folder(temporary_ / "features"));
    ASSERT_TRUE(write_tensors(temporary_ / "features/features-00000.safetensors", shard));
    if (damage_) damage_(index);
    ASSERT_TRUE(write_feature_lists(temporary_ / "features", index, &rejects_, 0,
                                    Object{{"width", 8}, {"frames_per_second", kTeacherRate}}));
  }

  StageSpec spec() const {
    StageSpec spec;
    spec.seed = 1;
    spec.parameters = parameters_;
    spec.inputs.emplace("corpus", temporary_ / "corpus");
    if (with_features_) spec.inputs.emplace("features", temporary_ / "features");
    for (const char* name : {"weights", "weights_early", "validation"})
      spec.outputs.emplace(name, temporary_ / name);
    return spec;
  }

  Result<Feasibility> check() {
    write();
    STRATA_TRY(const TrainConfig config, read_train_config(spec()));
    return check_feasibility(spec(), config, options_);
  }

  // The one finding that there is.
  Finding only(const std::string& kind, Level level) {
    const auto found = check();
    EXPECT_TRUE(found.has_value()) << found.error().message;
    if (!found || found->findings.size() != 1) {
      ADD_FAILURE() << kind << ": " << (found ? to_text(*found) : "");
      return {};
    }
    EXPECT_EQ(found->findings[0].kind, kind) << to_text(*found);
    EXPECT_EQ(found->findings[0].level, level);
    EXPECT_EQ(refuse_infeasible(*found).has_value(), level == Level::kWarning);
    return found->findings[0];
  }

  static std::vector<std::string> ids(const Finding& finding) {
    std::vector<std::string> ids;
    for (const FindingExample& example : finding.examples) ids.push_back(example.id);
    return ids;
  }
  using Ids = std::vector<std::string>;

  testing::TemporaryFolder temporary_;
  std::vector<Item> items_{};
  Value parameters_{};
  FeasibilityOptions options_{.look_at_files = false};
  bool with_features_ = true;
  FeatureRejects rejects_{};
  std::function<void(FeatureIndex&)> change_ = [](FeatureIndex&) {};
  std::function<void(FeatureIndex&)> damage_{};  // after the shard was written
};

TEST_F(Feasible, NothingSpeaksAgainstASoundCorpus) {
  const auto found = check();
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_TRUE(found->findings.empty()) << to_text(*found);
  EXPECT_EQ(found->train, 9);
  EXPECT_EQ(found->heldout, 3);
  EXPECT_EQ(found->batches->an_epoch, 2);
  EXPECT_EQ(found->batches->costliest.utterances, 4);
  EXPECT_EQ(found->batches->costliest.frames, (kRate + 8000) / 256);
  EXPECT_TRUE(refuse_infeasible(*found));
}

TEST_F(Feasible, ItemsWithoutFeaturesAndThoseOfAnotherRecordingAreErrors) {
  change_ = [](FeatureIndex& index) {
    index.erase("utt-03");
    index.erase("utt-10");
  };
  Finding finding = only("missing_features", Level::kError);
  EXPECT_EQ(finding.count, 2);
  EXPECT_EQ(finding.of, 12);
  EXPECT_EQ(ids(finding), (Ids{"utt-03", "utt-10"}));
  change_ = [](FeatureIndex& index) { index["utt-04"].sha256 = std::string(64, 'f'); };
  EXPECT_EQ(ids(only("other_recording", Level::kError)), Ids{"utt-04"});
  change_ = [](FeatureIndex&) {};
  damage_ = [](FeatureIndex& index) { ++index["utt-05"].frames; };
  EXPECT_EQ(ids(only("damaged_features", Level::kError)), Ids{"utt-05"});
  with_features_ = false;
  EXPECT_TRUE(check()->findings.empty()) << "features that nobody takes";
}

TEST_F(Feasible, TrainingItemsThatExtractRejectedAreLeftOutOfEveryOtherCountAndHeldOutOnesStay) {
  change_ = [](FeatureIndex& index) {
    index.erase("utt-02");
    index.erase("utt-10");
  };
  rejects_["utt-02"] = "it is silent";
  rejects_["utt-10"] = "it is torn";
  const Finding finding = only("rejected_features", Level::kWarning);
  EXPECT_EQ(ids(finding), Ids{"utt-02"});
  EXPECT_EQ(finding.of, 9);
  EXPECT_EQ(finding.examples[0].detail, "it is silent");
  EXPECT_EQ(check()->train, 8);
  EXPECT_EQ(check()->heldout, 3);
}

TEST_F(Feasible, TeacherFramesThatAreOffTheTeachersRateAreAWarning) {
  change_ = [](FeatureIndex& index) {
    index["utt-05"].frames += 2;  // windows may cut an end
    index["utt-06"].frames *= 2;
  };
  EXPECT_EQ(ids(only("teacher_frames", Level::kWarning)), Ids{"utt-06"});
}

TEST_F(Feasible, TokensOutsideOfTheVocabularyAreToldOfBothSplits) {
  items_[2].text = "h\u00e9llo Z";
  items_[4].text = "Zab Z";
  items_[11].text = "\u00df";
  const auto found = check();
  ASSERT_EQ(found->findings.size(), 2U) << to_text(*found);
  const Finding& training = found->findings[0];
  EXPECT_EQ(training.kind, "unknown_tokens");
  EXPECT_EQ(training.count, 2);
  EXPECT_EQ(training.of, 9);
  EXPECT_EQ(training.what,
            "training items hold what the vocabulary lacks: 'Z' '\u00e9', 4 times in all");
  EXPECT_EQ(training.examples[1].detail, "'Z'");
  EXPECT_EQ(found->findings[1].count, 1);
  EXPECT_EQ(found->findings[1].of, 3);
  EXPECT_TRUE(refuse_infeasible(*found));
}

TEST_F(Feasible, OnlyATextHeadCaresWhetherCtcCanSayTheText) {
  const auto frames = static_cast<std::size_t>(items_[1].samples / 256);  // 89: 45 steps
  items_[1].text.clear();
  while (items_[1].text.size() < (frames + 1) / 2)
    items_[1].text += "abcdefg"[items_[1].text.size() % 7];
  ASSERT_TRUE(parameters_.set("align.text.layer", 1));
  EXPECT_TRUE(check()->findings.empty()) << "as many letters as steps";
  items_[1].text[3] = items_[1].text[2];
  const Finding finding = only("ctc_infeasible", Level::kWarning);
  EXPECT_EQ(ids(finding), Ids{"utt-01"});
  EXPECT_EQ(finding.examples[0].detail, "needs 46 steps, has 45");
  EXPECT_EQ(finding.of, 9);
  ASSERT_TRUE(parameters_.set("align.text.layer", 0));
  EXPECT_TRUE(check()->findings.empty());
}

TEST_F(Feasible, WhereNoTextCanBeSaidTheTextHeadHasNothingToLearn) {
  for (Item& item : items_) item.text = std::string(50, 'a');  // 99 steps
  ASSERT_TRUE(parameters_.set("align.text.layer", 1));
  EXPECT_EQ(only("ctc_infeasible", Level::kError).count, 9);
}

TEST_F(Feasible, ATextThatIsLongerThanItsMelIsCut) {
  items_[9].text = std::string(200, 'b');
  EXPECT_EQ(ids(only("text_longer_than_mel", Level::kWarning)), Ids{"utt-09"});
}

TEST_F(Feasible, RecordingsThatAreTooShortForAMelAndEmptyTextsAreErrors) {
  with_features_ = false;
  items_[0].samples = 384;
  items_[3].text.clear();
  items_[4].samples = 31 * kRate;
  const auto found = check();
  ASSERT_EQ(found->findings.size(), 4U) << to_text(*found);
  EXPECT_EQ(found->findings[0].kind, "no_text");
  EXPECT_EQ(ids(found->findings[0]), Ids{"utt-03"});
  EXPECT_EQ(found->findings[1].kind, "too_short");
  EXPECT_EQ(ids(found->findings[1]), Ids{"utt-00"});
  EXPECT_EQ(found->findings[2].kind, "unusual_length");
  EXPECT_EQ(ids(found->findings[2]), (Ids{"utt-00", "utt-04"}));
  EXPECT_EQ(found->findings[3].kind, "text_longer_than_mel") << "than none";
  const auto refused = refuse_infeasible(*found);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_NE(refused.error().message.find("1 of 12 items have no text: utt-03"), std::string::npos)
      << refused.error().message;
  EXPECT_NE(refused.error().message.find("too short for the mel hifigan"), std::string::npos);
}

TEST_F(Feasible, RecordingsThatAreNotThereAreErrorsWhereFilesAreLookedAt) {
  options_.look_at_files = true;
  ASSERT_TRUE(make_folder(temporary_ / "corpus/wavs"));
  for (std::size_t i = 2; i < items_.size(); ++i)
    ASSERT_TRUE(write_file_unsynced(temporary_ / "corpus" / items_[i].audio, "sound"));
  EXPECT_EQ(ids(only("missing_recording", Level::kError)), (Ids{"utt-00", "utt-01"}));
}

TEST_F(Feasible, ItemsThatAreLongerThanABatchAreAWarningUnlessAllAre) {
  ASSERT_TRUE(parameters_.set("train.batch_frames", 250));
  items_[5].samples = 4 * kRate;
  EXPECT_EQ(ids(only("longer_than_batch", Level::kWarning)), Ids{"utt-05"});
  ASSERT_TRUE(parameters_.set("train.batch_frames", 50));
  const Finding all = only("longer_than_batch", Level::kError);
  EXPECT_EQ(all.count, 9);
  EXPECT_EQ(all.examples.size(), kExamplesMax);
}

TEST_F(Feasible, FewerItemsThanABatchOrHeldOutOnesThanTwoOrABatchThanRanksAreErrors) {
  ASSERT_TRUE(parameters_.set("train.batch", 10));
  EXPECT_EQ(only("too_few_items", Level::kError).what,
            "the corpus has 9 training items, and 10 are needed");
  ASSERT_TRUE(parameters_.set("train.batch", 4));
  options_.ranks = 5;
  EXPECT_EQ(only("batch_without_rank", Level::kError).count, 100) << "in every update";
  ASSERT_TRUE(parameters_.set("train.batch_frames", 300));
  EXPECT_EQ(only("batch_without_rank", Level::kError).of, 4) << "batches";
  options_.ranks = 1;
  items_.resize(10);
  EXPECT_EQ(only("too_few_heldout", Level::kError).what,
            "the corpus has 1 held-out items, and 2 are needed");
}

TEST_F(Feasible, MemoryIsComparedForAllRanksOfTheMachine) {
  options_.ranks = 4;
  options_.ranks_here = 2;
  const MemoryEstimate one = *check()->memory;
  options_.machine = {.total = 1LL << 40,
                      .available = static_cast<std::int64_t>(2 * one.peak()) + 1};
  EXPECT_TRUE(check()->findings.empty());
  options_.machine.available = static_cast<std::int64_t>(2 * one.peak()) - 1;
  EXPECT_EQ(only("memory", Level::kWarning).count, 2);
  options_.machine.total = static_cast<std::int64_t>(2 * one.fixed()) - 1;
  EXPECT_EQ(only("memory", Level::kError).of, 4);
}

TEST_F(Feasible, TrainingGoesOnWhereMemoryAloneSpeaksAgainstIt) {
  ASSERT_TRUE(parameters_.set("model.dim", 65536));  // a few hundred TB of weights
  ASSERT_TRUE(parameters_.set("model.depth", 512));
  options_.machine = machine_memory();
  EXPECT_TRUE(to_text(check().value()).ends_with("1 error, 0 warnings: `train` goes on with it\n"));
  ASSERT_TRUE(make_folder(temporary_ / "corpus/wavs"));
  for (const Item& item : items_)
    ASSERT_TRUE(write_file_unsynced(temporary_ / "corpus" / item.audio, "sound"));
  ::testing::internal::CaptureStderr();
  const Status status = check_before_training(spec(), *read_train_config(spec()), 0, 1);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(status.has_value()) << status.error().message;
  EXPECT_NE(log.find("for weights, gradients and averages alone"), std::string::npos) << log;
  items_[3].text.clear();
  write();
  EXPECT_FALSE(check_before_training(spec(), *read_train_config(spec()), 0, 1).has_value());
}

TEST_F(Feasible, OfACorpusThatDoesNotFitOnlyWhatARankMayHoldIsCounted) {
  const double all = check()->corpus_bytes;
  EXPECT_EQ(check()->memory->held.corpus, all);
  std::int64_t frames = 0, teacher = 0;
  for (const Item& item : items_) {
    frames += item.samples / 256;
    teacher += static_cast<std::int64_t>(item.seconds() * kTeacherRate);
  }
  EXPECT_EQ(all, static_cast<double>(4 * 80 * frames + 2 * 8 * teacher));
  options_.corpus_room = static_cast<std::int64_t>(all);
  EXPECT_EQ(check()->memory->held.corpus, all);
  --options_.corpus_room;
  EXPECT_EQ(check()->memory->held.corpus, static_cast<double>(4 * 80 * frames)) << "mels alone";
  options_.corpus_room = 1000;
  EXPECT_EQ(check()->memory->held.corpus, 1000);
  ASSERT_TRUE(parameters_.set("train.loading.memory_gib", 0));
  EXPECT_EQ(check()->memory->held.corpus, 0);
  EXPECT_EQ(check()->corpus_bytes, all);
}

TEST_F(Feasible, BatchesThatAreMadeAheadAreCounted) {
  ASSERT_TRUE(parameters_.set("align.speech.layer", 1));
  const Feasibility two = check().value();  // and the one that is taken
  const ForwardShape& shape = two.batches->costliest;
  EXPECT_GT(shape.teacher_frames, 0);
  const auto batch =
      static_cast<double>(4 * shape.utterances * (80 * shape.frames + 8 * shape.teacher_frames));
  EXPECT_EQ(two.memory->held.batches, 3 * batch);
  ASSERT_TRUE(parameters_.set("train.loading.threads", 5));
  const Feasibility five = check().value();
  EXPECT_EQ(five.memory->held.batches, 6 * batch);
  EXPECT_EQ(five.memory->peak() - two.memory->peak(), 3 * batch);
}

TEST_F(Feasible, AMicroBatchIsWhatAForwardTakes) {
  ASSERT_TRUE(parameters_.set("train.micro_batch", 1));
  EXPECT_EQ(check()->batches->costliest.utterances, 1);
}

TEST_F(Feasible, TheReportForProgramsHasEveryFinding) {
  items_[3].text.clear();
  const Value report = to_value(check().value());
  EXPECT_EQ(*report.find("feasible"), Value(false));
  EXPECT_EQ(report.find("findings")->if_array()->size(), 1U);
  const Value& finding = report.find("findings")->if_array()->front();
  EXPECT_EQ(*finding.find("kind"), Value("no_text"));
  EXPECT_EQ(*finding.find("level"), Value("error"));
  EXPECT_EQ(*finding.find("count"), Value(1));
  EXPECT_TRUE(report.find("memory.peak_about") != nullptr);
}

TEST_F(Feasible, AFolderThatCannotBeReadIsAnErrorOfTheCheckItself) {
  write();
  std::filesystem::remove(temporary_ / "corpus/vocab.txt");
  StageSpec spec;
  spec.seed = 1;
  spec.parameters = parameters_;
  spec.inputs.emplace("corpus", temporary_ / "corpus");
  EXPECT_FALSE(check_feasibility(spec, *read_train_config(spec), options_));
}

// Uniform logits over random texts: the loss is 0 exactly where the check says that there are too
// few steps.
TEST(CtcFeasibility, IsWhatTheLossItselfDoes) {
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    std::vector<std::int64_t> text(1 + random.bounded(12));
    for (std::int64_t& letter : text) letter = static_cast<std::int64_t>(random.bounded(3));
    std::int64_t needed = std::ssize(text);
    for (std::size_t k = 1; k < text.size(); ++k) needed += text[k] == text[k - 1] ? 1 : 0;
    const auto frames = static_cast<std::int64_t>(1 + random.bounded(40));
    const std::int64_t steps = text_aligner_frames(frames);
    const at::Tensor logits = torch::zeros({1, steps, 5}).requires_grad_();
    const at::Tensor loss =
        text_loss_sum(logits, at::full({1}, steps, at::kLong), at::tensor(text).unsqueeze(0),
                      at::full({1}, std::ssize(text), at::kLong));
    EXPECT_TRUE(std::isfinite(loss.item<double>()));
    EXPECT_EQ(loss.item<double>() > 0, needed <= steps) << needed << " of " << steps;
    if (needed > steps) continue;
    loss.backward();
    EXPECT_GT(logits.grad().abs().sum().item<double>(), 0);
  }
}

}  // namespace
}  // namespace strata::trainer

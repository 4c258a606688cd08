// The stages that run exported models, with toy models in their place: what they write, that a stop
// and a resume change no byte, and what they refuse. Each test is a process of its own, so a stop
// request may stay set.
#include "trainer/synthesize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/unit/trainer/data/corpus_fixture.h"
#include "tests/unit/trainer/toy_archive.h"
#include "trainer/copy.h"
#include "trainer/data/dataset.h"
#include "trainer/data/extract.h"
#include "trainer/data/features.h"
#include "trainer/data/manifest.h"
#include "trainer/data/teacher.h"
#include "trainer/models/backbone.h"
#include "trainer/probe.h"
#include "trainer/progress.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {
namespace {

using ::testing::HasSubstr;
using Stage = Result<int> (*)(const StageSpec&);

class Stages : public CorpusFixture {
 protected:
  void SetUp() override {
    CorpusFixture::SetUp();
    corpus_ = make_corpus(7, 3);
    std::filesystem::create_directories(folder_ / "models");
    write_archive(folder_ / "models" / "teacher.pt", "teacher",
                  "def forward(self, wav: Tensor, layer: int) -> Tensor:\n"
                  "  return wav.reshape(wav.size(0), 1500, 320).abs().mean(2, True).repeat(1, 1, "
                  "4) + layer\n",
                  at::linspace(-1, 1, 480'000).unsqueeze(0),
                  {{"sample_rate", 16'000},
                   {"window_samples", 480'000},
                   {"frames_per_second", 50},
                   {"width", 4},
                   {"encoder_layers", 4}});
    write_archive(folder_ / "models" / "vocoder.pt", "vocoder",
                  "def forward(self, mel: Tensor) -> Tensor:\n"
                  "  return 0.1 * torch.tanh(mel.mean(1)).repeat_interleave(256, 1)\n",
                  at::linspace(-1, 1, 160).reshape({1, 80, 2}),
                  {{"sample_rate", 22'050}, {"bands", 80}, {"hop", 256}});
  }

  StageSpec base() {
    StageSpec spec;
    spec.models = folder_ / "models";
    spec.inputs.emplace("corpus", corpus_);
    return spec;
  }
  StageSpec extract_spec(const std::string& dtype = "fp32") {
    StageSpec spec = base();
    spec.parameters = Object{
        {"teacher", Object{{"model", Object{{"name", "teacher"}, {"identity", "toy-teacher"}}},
                           {"layer", 3},
                           {"dtype", dtype}}}};
    return spec;
  }
  static Object vocoder() { return {{"name", "vocoder"}, {"identity", "toy-vocoder"}}; }
  StageSpec copy_spec() {
    StageSpec spec = base();
    spec.parameters =
        Object{{"copy", Object{{"items", 2}, {"other_speakers", true}}}, {"vocoder", vocoder()}};
    return spec;
  }
  // Weights of a tiny model as `train` leaves them.
  StageSpec synthesize_spec(const std::string& duration = "true") {
    StageSpec spec = base();
    spec.parameters = Object{{"sampling", Object{{"solver", "euler"},
                                                 {"steps", 2},
                                                 {"sway", -1},
                                                 {"cfg", 2},
                                                 {"duration", duration},
                                                 {"items", Value()}}},
                             {"vocoder", vocoder()}};
    const std::string letters = *read_file(corpus_ / "vocab.txt");
    const auto vocabulary = static_cast<std::int64_t>(Vocabulary::parse(letters)->size());
    const Value model =
        Object{{"model", "dit"},   {"dim", 32},   {"depth", 2},          {"heads", 2},
               {"dim_head", 16},   {"mel", 80},   {"vocab", vocabulary}, {"text_dim", 16},
               {"conv_layers", 1}, {"dropout", 0}};
    const auto backbone = make_backbone(*read_model_config(model, "model"));
    fill_probe_parameters(*backbone);
    NamedTensors weights;
    for (const auto& entry : backbone->named_parameters())
      weights.emplace(entry.key(), entry.value().detach());
    std::filesystem::create_directories(folder_ / "weights");
    EXPECT_TRUE(write_tensors(folder_ / "weights" / "model.safetensors", weights).has_value());
    const Object about{{"format", 1},
                       {"model", model},
                       {"vocabulary", letters},
                       {"update", 3},
                       {"mel", Object{{"kind", "hifigan"}, {"mean", -5}, {"deviation", 2}}}};
    EXPECT_TRUE(write_file_atomic(folder_ / "weights" / "model.json", to_canonical_json(about))
                    .has_value());
    spec.inputs.emplace("weights", folder_ / "weights");
    return spec;
  }

  // Runs in a fresh attempt folder; the value is that folder.
  std::filesystem::path enter(const std::string& attempt) {
    std::filesystem::create_directories(folder_ / attempt);
    std::filesystem::current_path(folder_ / attempt);
    return folder_ / attempt;
  }

  // Undisturbed, then stopped after every item and resumed: the files must be the same.
  void expect_resume_changes_nothing(Stage stage, StageSpec spec, const std::string& output) {
    spec.outputs[output] = folder_ / "undisturbed";
    enter("a0");
    const auto whole = stage(spec);
    ASSERT_TRUE(whole.has_value()) << whole.error().message;
    ASSERT_EQ(*whole, exit_code::kSucceeded);
    listen_for_stop_request();
    ASSERT_EQ(std::raise(SIGTERM), 0);
    spec.outputs[output] = folder_ / "resumed";
    int code = exit_code::kStopped;
    int attempts = 0;
    while (code == exit_code::kStopped && attempts < 20) {
      const auto attempt = enter("b" + std::to_string(++attempts));
      const auto result = stage(spec);
      ASSERT_TRUE(result.has_value()) << result.error().message;
      code = *result;
      if (code != exit_code::kStopped) break;
      const auto lines = read_json_lines(attempt / "progress.jsonl");
      const Value* checkpoint = lines->back().find("checkpoint");
      ASSERT_NE(checkpoint, nullptr);
      spec.resume = attempt / *checkpoint->if_string();
    }
    EXPECT_EQ(code, exit_code::kSucceeded);
    EXPECT_GT(attempts, 2);
    EXPECT_EQ(all_files(folder_ / "undisturbed"), all_files(folder_ / "resumed"));
  }

  std::filesystem::path corpus_;
};

TEST_F(Stages, ExtractGivesFeaturesOfTheSpeechAlone) {
  StageSpec spec = extract_spec();
  spec.outputs["features"] = folder_ / "features";
  const auto code = run_extract(spec);
  ASSERT_TRUE(code.has_value()) << code.error().message;
  const auto corpus = read_corpus(corpus_);
  auto features = FeatureFolder::open(folder_ / "features");
  ASSERT_TRUE(features.has_value()) << features.error().message;
  for (const Item& item : corpus->items) {
    if (item.split == Split::kReference) continue;
    const auto loaded = features->load(item.id, item.sha256);
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    EXPECT_EQ(loaded->size(0), teacher_frames(item.samples, 16'000, 50));
    EXPECT_GT(loaded->min().item<float>(),
              3.01F);  // layer 3 plus the loudness of speech: no frame of silence is left
  }
  EXPECT_TRUE(Dataset::load(corpus_, folder_ / "features").has_value());
  EXPECT_EQ(teacher_frames(16'001, 16'000, 50), 51);
  EXPECT_EQ(teacher_frames(16'000, 16'000, 50), 50);
}

TEST_F(Stages, ValuesThatFp16CannotHoldAreRefusedWithTheItemsName) {
  write_archive(folder_ / "models" / "teacher.pt", "teacher",
                "def forward(self, wav: Tensor, layer: int) -> Tensor:\n"
                "  assert layer < 4\n"
                "  return torch.full([1, 1500, 4], 70000.0)\n",
                at::linspace(-1, 1, 480'000).unsqueeze(0),
                {{"sample_rate", 16'000},
                 {"window_samples", 480'000},
                 {"frames_per_second", 50},
                 {"width", 4},
                 {"encoder_layers", 4}});
  StageSpec spec = extract_spec("fp16");
  spec.outputs["features"] = folder_ / "features";
  enter("half");
  const auto half = run_extract(spec);
  ASSERT_FALSE(half.has_value());
  EXPECT_EQ(exit_code_of(half.error()), exit_code::kInvalid);
  EXPECT_THAT(half.error().message, HasSubstr("values up to 7e+04"));
  EXPECT_THAT(half.error().message, HasSubstr("hearing clip"));
  EXPECT_THAT(half.error().message, HasSubstr("fp32"));
  ASSERT_TRUE(spec.parameters.set("teacher.dtype", "fp32").has_value());
  enter("whole");
  EXPECT_TRUE(run_extract(spec).has_value());
  // What the teacher itself refuses it refuses at every attempt.
  ASSERT_TRUE(spec.parameters.set("teacher.layer", 4).has_value());
  enter("refused");
  const auto refused = run_extract(spec);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(exit_code_of(refused.error()), exit_code::kInvalid) << refused.error().message;
  EXPECT_THAT(refused.error().message, HasSubstr("hearing clip"));
}

TEST_F(Stages, ExtractStoppedAndResumedGivesTheSameBytes) {
  expect_resume_changes_nothing(run_extract, extract_spec("fp16"), "features");
}

TEST_F(Stages, SynthesizeStoppedAndResumedGivesTheSameBytes) {
  expect_resume_changes_nothing(run_synthesize, synthesize_spec(), "audio");
}

TEST_F(Stages, SynthesizeSpeaksEveryHeldOutTextForAsLongAsTheRecording) {
  StageSpec spec = synthesize_spec();
  spec.outputs["audio"] = folder_ / "audio";
  const auto code = run_synthesize(spec);
  ASSERT_TRUE(code.has_value()) << code.error().message;
  const auto corpus = read_corpus(corpus_);
  const auto rows = read_json_lines(folder_ / "audio" / "list.jsonl");
  ASSERT_EQ(rows->size(), 3U);
  for (const Value& row : *rows) {
    const Item& item = *corpus->find(*row.find("id")->if_string());
    EXPECT_EQ(*row.find("text")->if_string(), item.text);
    EXPECT_EQ(*row.find("set")->if_string(), "generated");
    const auto audio = read_audio(folder_ / "audio" / *row.find("audio")->if_string());
    ASSERT_TRUE(audio.has_value()) << audio.error().message;
    EXPECT_EQ(audio->rate, 22'050);
    // Where the text has more letters than there are frames, it may be longer.
    EXPECT_GE(audio->seconds(), item.seconds() - 256.0 / 22'050);
    const Item& prompt = *corpus->find(corpus->prompts.at(item.id));
    EXPECT_EQ(*read_file(folder_ / "audio" / *row.find("prompt")->if_string()),
              *read_file(corpus->audio_path(prompt)));
  }
}

// Each rule is heard: none of them is read and then forgotten.
TEST_F(Stages, SynthesizeKeepsTheRulesOfTheReferenceWhereAsked) {
  struct Spoken {
    std::map<std::string, std::string> wavs{};
    double seconds = 0;
  };
  using Change = std::pair<const char*, Value>;
  const auto speak = [&](const std::vector<Change>& changes) {
    StageSpec spec = synthesize_spec("rule");
    EXPECT_TRUE(spec.parameters.set("sampling.steps", 5).has_value());
    for (const auto& [path, value] : changes)
      EXPECT_TRUE(spec.parameters.set(path, value).has_value());
    spec.outputs["audio"] = folder_ / "audio";
    std::filesystem::remove_all(folder_ / "audio");
    std::filesystem::remove_all("partial");
    const auto code = run_synthesize(spec);
    EXPECT_TRUE(code.has_value()) << code.error().message;
    Spoken spoken{.wavs = all_files(folder_ / "audio" / "wavs")};
    const auto rows = read_json_lines(folder_ / "audio" / "list.jsonl");
    for (const Value& row : *rows) spoken.seconds += row.find("seconds")->to_double().value();
    return spoken;
  };
  const Spoken plain = speak({});
  EXPECT_EQ(speak({}).wavs, plain.wavs);
  EXPECT_NE(speak({{"sampling.grid", "epss"}}).wavs, plain.wavs);
  EXPECT_NE(speak({{"sampling.join", "eval"}}).wavs, plain.wavs);
  EXPECT_EQ(speak({{"sampling.speed", 4}}).wavs, plain.wavs)
      << "so short texts have a speed of their own";
  const Spoken louder = speak({{"sampling.prompt_rms", 1}});
  EXPECT_NE(louder.wavs, plain.wavs);
  EXPECT_EQ(louder.seconds, plain.seconds) << "loudness is no matter of length";
  // Three utterances of three seconds, with their prompts.
  const Spoken fixed = speak({{"sampling.duration", "seconds"}, {"sampling.seconds", 3}});
  EXPECT_LT(fixed.seconds, 9);
  EXPECT_GT(fixed.seconds, 3);
  StageSpec refused = synthesize_spec("true");
  refused.outputs["audio"] = folder_ / "audio";
  ASSERT_TRUE(refused.parameters.set("sampling.chunk_seconds", 22).has_value());
  const auto result = run_synthesize(refused);
  ASSERT_FALSE(result.has_value());
  EXPECT_THAT(result.error().message, HasSubstr("parameters.sampling.chunk_seconds"));
}

TEST_F(Stages, CopyWritesThreeSetsAndOtherSpeakersHaveNoText) {
  StageSpec spec = copy_spec();
  spec.outputs["audio"] = folder_ / "audio";
  const auto code = run_copy(spec);
  ASSERT_TRUE(code.has_value()) << code.error().message;
  const auto rows = read_json_lines(folder_ / "audio" / "list.jsonl");
  ASSERT_EQ(rows->size(), 6U);
  std::map<std::string, int> sets;
  for (const Value& row : *rows) {
    const std::string set = *row.find("set")->if_string();
    ++sets[set];
    EXPECT_EQ(row.find("text")->is_null(), set == "other_speaker");
    EXPECT_EQ(*row.find("speaker")->if_string(), set == "other_speaker" ? "bob" : "ann");
    EXPECT_TRUE(read_audio(folder_ / "audio" / *row.find("audio")->if_string()).has_value());
    EXPECT_TRUE(read_audio(folder_ / "audio" / *row.find("prompt")->if_string()).has_value());
  }
  EXPECT_EQ(sets, (std::map<std::string, int>{
                      {"other_speaker", 2}, {"recordings", 2}, {"vocoder_copies", 2}}));
}

TEST_F(Stages, GriffinLimTakesThePlaceOfAnExportedVocoder) {
  std::filesystem::remove_all(folder_ / "models");
  const auto seconds = [&](Stage stage, StageSpec spec, const std::string& name) {
    spec.parameters.if_object()->insert_or_assign(
        "vocoder", Object{{"name", name}, {"identity", ""}, {"iterations", 2}});
    spec.outputs["audio"] = folder_ / "audio";
    std::filesystem::remove_all(folder_ / "audio");
    std::filesystem::remove_all("partial");
    const auto code = stage(spec);
    EXPECT_TRUE(code.has_value()) << code.error().message;
    std::map<std::string, double> sums;
    const auto rows = read_json_lines(folder_ / "audio" / "list.jsonl");
    for (const Value& row : *rows)
      sums[*row.find("set")->if_string()] += row.find("seconds")->to_double().value();
    return sums;
  };
  // A copy is cut to whole frames, of 256 samples.
  for (const char* name : {"griffin-lim-vocos", "griffin-lim-bigvgan", "griffin-lim-hifigan"}) {
    const auto copied = seconds(run_copy, copy_spec(), name);
    EXPECT_LE(copied.at("vocoder_copies"), copied.at("recordings")) << name;
    EXPECT_GT(copied.at("vocoder_copies"), copied.at("recordings") - 2 * 256.0 / 22'050) << name;
  }
  EXPECT_GT(seconds(run_synthesize, synthesize_spec(), "griffin-lim-hifigan").at("generated"), 1);
  StageSpec other = synthesize_spec();
  other.outputs["audio"] = folder_ / "audio";
  ASSERT_TRUE(other.parameters.set("vocoder.name", "griffin-lim-vocos").has_value());
  ASSERT_TRUE(other.parameters.set("vocoder.identity", "").has_value());
  const auto refused = run_synthesize(other);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(exit_code_of(refused.error()), exit_code::kInvalid);
  EXPECT_THAT(refused.error().message, HasSubstr("the vocoder griffin-lim-vocos speaks \"vocos\""));
}

TEST_F(Stages, WrongInputsAreNamedAndGiveExitCodeTwo) {
  const auto expect_refused = [&](Stage stage, const StageSpec& spec, const std::string& text) {
    const auto result = stage(spec);
    ASSERT_FALSE(result.has_value()) << text;
    EXPECT_EQ(exit_code_of(result.error()), exit_code::kInvalid) << result.error().message;
    EXPECT_THAT(result.error().message, HasSubstr(text));
  };
  StageSpec extract = extract_spec();
  expect_refused(run_extract, extract, "names no output \"features\"");
  extract.outputs["features"] = folder_ / "features";
  ASSERT_TRUE(extract.parameters.set("teacher.model.identity", "other").has_value());
  expect_refused(run_extract, extract, "identity is toy-teacher");
  extract = extract_spec();
  extract.outputs["features"] = folder_ / "features";
  ASSERT_TRUE(extract.parameters.set("teacher.layer", 5).has_value());
  expect_refused(run_extract, extract, "has 4 layers");
  ASSERT_TRUE(extract.parameters.set("teacher.layer", 0).has_value());
  expect_refused(run_extract, extract, "counted from 1");
  StageSpec copy = copy_spec();
  copy.outputs["audio"] = folder_ / "audio";
  ASSERT_TRUE(copy.parameters.set("copy.items", 4).has_value());
  expect_refused(run_copy, copy, "4 items were asked for, 3 are held out");
  ASSERT_TRUE(copy.parameters.set("copy.items", 1).has_value());
  ASSERT_TRUE(copy.parameters.set("vocoder.name", "teacher").has_value());
  expect_refused(run_copy, copy, "its role is \"teacher\"");
  StageSpec synthesize = synthesize_spec();
  synthesize.outputs["audio"] = folder_ / "audio";
  ASSERT_TRUE(synthesize.parameters.set("sampling.sway", 3).has_value());
  expect_refused(run_synthesize, synthesize, "parameters.sampling.sway");
  ASSERT_TRUE(synthesize.parameters.set("sampling.sway", Value()).has_value());
  std::filesystem::remove(folder_ / "weights" / "model.json");
  expect_refused(run_synthesize, synthesize, "model.json");
}

}  // namespace
}  // namespace strata::trainer

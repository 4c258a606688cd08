// Teachers and the stage `extract`, with toy models in the place of real ones. Each test is a
// process of its own, so a stop request may stay set.
#include "trainer/data/extract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/script.h>

#include <csignal>

#include "base/audio/resample.h"
#include "base/subprocess.h"
#include "tests/unit/trainer/data/corpus_fixture.h"
#include "tests/unit/trainer/data/thread_gang.h"
#include "trainer/data/features.h"
#include "trainer/data/manifest.h"
#include "trainer/data/teacher.h"
#include "trainer/progress.h"

namespace strata::trainer {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kTrainer = STRATA_BINARY_DIR "/bin/strata-trainer";

// Loudness of 20 ms in four values, plus the layer.
constexpr const char* kWindowsCode =
    "def forward(self, wav: Tensor, layer: int) -> Tensor:\n"
    "  return wav.reshape(wav.size(0), 1500, 320).abs().mean(2, True).repeat(1, 1, 4) + layer\n";
// Of 400 samples every 320: mean, peak, first, last, times one more than the layer.
constexpr const char* kWholeCode =
    "def forward(self, wav: Tensor, layer: int) -> Tensor:\n"
    "  frames = wav.unfold(1, 400, 320)\n"
    "  values = [frames.mean(2), frames.abs().amax(2), frames[:, :, 0], frames[:, :, 399]]\n"
    "  return torch.stack(values, 2) * (1.0 + layer)\n"
    "def average(self, wav: Tensor, first: int, last: int, norm: int) -> Tensor:\n"
    "  return self.forward(wav, 0) * (first + 100.0 * last + 10000.0 * norm)\n";

struct Toy {
  std::string name{};
  int interface = 1;
  std::string code{};
  bool normalise = true;
};

void write_teacher(const std::filesystem::path& models, const Toy& toy) {
  torch::jit::Module module("teacher");
  module.define(toy.code);
  const bool whole = toy.interface == 2;
  const at::Tensor input = at::linspace(-1, 1, whole ? 800 : 480'000).unsqueeze(0);
  const at::Tensor layer = at::scalar_tensor(2, at::kLong);
  const at::Tensor output = module.forward({input, std::int64_t{2}}).toTensor().contiguous();
  torch::jit::ExtraFilesMap extra;
  const auto store = [&](const std::string& file, const at::Tensor& tensor) {
    extra[file] = {static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()};
    Array shape;
    for (const std::int64_t size : tensor.sizes()) shape.emplace_back(size);
    return Object{{"file", file},
                  {"shape", std::move(shape)},
                  {"dtype", tensor.scalar_type() == at::kLong ? "int64" : "float32"}};
  };
  Object settings{
      {"sample_rate", 16'000}, {"frames_per_second", 50}, {"width", 4}, {"encoder_layers", 4}};
  if (whole) {
    settings["conv_kernels"] = Array{400};
    settings["conv_strides"] = Array{320};
    settings["do_normalize"] = toy.normalise ? 1 : 0;
  } else {
    settings["window_samples"] = 480'000;
  }
  const Object test{
      {"tolerance", 1e-4},
      {"inputs", Array{store("self_test/input0", input), store("self_test/input1", layer)}},
      {"outputs", Array{store("self_test/output0", output)}}};
  extra["strata.json"] =
      to_canonical_json(Object{{"name", toy.name},
                               {"role", "teacher"},
                               {"family", "toy"},
                               {"version", 1},
                               {"exporter_version", 1},
                               {"identity", "toy"},
                               {"interface", fmt::format("teacher-{}", toy.interface)},
                               {"licence", "none"},
                               {"settings", settings},
                               {"sources", Array{}},
                               {"torch_version", "1.13.0"},
                               {"self_test", test}});
  module.save((models / (toy.name + ".pt")).string(), extra);
}

// One sample after another of all channels, 16 bits.
void write_stereo(const std::filesystem::path& path, const std::vector<float>& left, int rate) {
  std::vector<float> both;
  for (const float sample : left) {
    both.push_back(sample);
    both.push_back(0);
  }
  std::string wav = encode_wav(both, rate);
  wav[22] = 2;  // channels
  wav[32] = 4;  // bytes of a frame
  const auto bytes = static_cast<std::uint32_t>(rate * 4);
  for (std::size_t i = 0; i < 4; ++i) wav[28 + i] = static_cast<char>(bytes >> (8 * i));
  ASSERT_TRUE(write_file_atomic(path, wav).has_value());
}

// The exit code of all ranks, or -1 where they do not agree.
int run_as_gang(int size, const StageSpec& spec, std::int64_t shard_bytes) {
  std::vector<int> codes(static_cast<std::size_t>(size), -1);
  ThreadGang::run(size, [&](Communicator& rank) {
    const auto code = extract_as_rank(spec, rank, shard_bytes);
    EXPECT_TRUE(code.has_value()) << code.error().message;
    codes[static_cast<std::size_t>(rank.rank())] = code.value_or(-1);
  });
  return std::ranges::count(codes, codes.front()) == size ? codes.front() : -1;
}

class Extract : public CorpusFixture {
 protected:
  void SetUp() override {
    CorpusFixture::SetUp();
    corpus_ = make_corpus(7, 3);
    models_ = folder_ / "models";
    std::filesystem::create_directories(models_);
    write_teacher(models_, {.name = "windows", .interface = 1, .code = kWindowsCode});
    write_teacher(models_, {.name = "whole", .interface = 2, .code = kWholeCode});
  }

  StageSpec spec_of(const std::string& teacher, const Object& more = {}) {
    Object parameters{{"model", Object{{"name", teacher}, {"identity", "toy"}}}, {"dtype", "fp32"}};
    for (const auto& [name, value] : more) parameters[name] = value;
    StageSpec spec;
    spec.models = models_;
    spec.inputs["corpus"] = corpus_;
    spec.outputs["features"] = folder_ / "features";
    spec.parameters = Object{{"teacher", parameters}};
    return spec;
  }
  std::filesystem::path enter(const std::string& attempt) {
    std::filesystem::create_directories(folder_ / attempt);
    std::filesystem::current_path(folder_ / attempt);
    return folder_ / attempt;
  }
  // Into a fresh folder "features"; the value is the code.
  int run(const StageSpec& spec) {
    std::filesystem::remove_all(folder_ / "features");
    const auto code = run_extract(spec);
    EXPECT_TRUE(code.has_value()) << code.error().message;
    return code.value_or(-1);
  }
  std::string refusal(const StageSpec& spec) {
    const auto code = run_extract(spec);
    EXPECT_FALSE(code.has_value());
    if (code) return "it ran";
    EXPECT_EQ(exit_code_of(code.error()), exit_code::kInvalid) << code.error().message;
    return code.error().message;
  }
  at::Tensor features_of(const Item& item) {
    auto features = FeatureFolder::open(folder_ / "features");
    EXPECT_TRUE(features.has_value()) << features.error().message;
    auto loaded = features->load(item.id, item.sha256);
    EXPECT_TRUE(loaded.has_value()) << loaded.error().message;
    return *loaded;
  }
  Value report() { return *parse_json(*read_file(folder_ / "features" / "report.json")); }
  // Training and held-out items.
  std::vector<Item> heard() {
    std::vector<Item> items;
    const Corpus corpus = *read_corpus(corpus_);
    for (const Item& item : corpus.items) {
      if (item.split == Split::kTrain || item.split == Split::kHeldout) items.push_back(item);
    }
    return items;
  }
  void cut(const Item& item) {
    const auto path = corpus_ / item.audio;
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1000);
  }
  // From stop to stop until it is done; the value is the number of attempts.
  int run_in_pieces(StageSpec spec) {
    listen_for_stop_request();
    EXPECT_EQ(std::raise(SIGTERM), 0);
    for (int attempt = 1; attempt < 20; ++attempt) {
      const auto folder = enter("piece" + std::to_string(attempt));
      if (run(spec) == exit_code::kSucceeded) return attempt;
      const auto lines = read_json_lines(folder / "progress.jsonl");
      const Value* checkpoint = lines->back().find("checkpoint");
      EXPECT_NE(checkpoint, nullptr);
      if (checkpoint == nullptr) return -1;
      spec.resume = folder / *checkpoint->if_string();
    }
    return -1;
  }

  std::filesystem::path corpus_;
  std::filesystem::path models_;
};

TEST(TeacherFrames, OfWholeUtterancesAreThoseOfSevenConvolutions) {
  const std::vector<std::int64_t> kernels{10, 3, 3, 3, 3, 2, 2};
  const std::vector<std::int64_t> strides{5, 2, 2, 2, 2, 2, 2};
  const auto frames = [&](std::int64_t samples) {
    return convolved_frames(resampled_length(samples, 24'000, 16'000), kernels, strides);
  };
  // Samples at 24 kHz, frames of HuBERT.
  EXPECT_EQ(frames(24'000), 49);
  EXPECT_EQ(frames(72'000), 149);
  EXPECT_EQ(frames(135'120), 281);
  EXPECT_EQ(frames(240'000), 499);
  EXPECT_EQ(convolved_frames(400, kernels, strides), 1);
  EXPECT_EQ(convolved_frames(399, kernels, strides), 0);
}

TEST(TeacherFrames, AnUtteranceIsNormalisedByItsPopulationVariance) {
  std::vector<float> samples{1, 3, 1, 3};
  normalise_utterance(samples);
  const auto one = static_cast<float>(1 / std::sqrt(1 + 1e-7));
  EXPECT_THAT(samples, ElementsAre(-one, one, -one, one));
  std::vector<float> quiet{0, 2e-4F};  // variance 1e-8: the floor counts
  normalise_utterance(quiet);
  EXPECT_NEAR(quiet[1], 1e-4 / std::sqrt(1.1e-7), 1e-6);
  std::vector<float> silence(10, 0.25F);
  normalise_utterance(silence);
  EXPECT_THAT(silence, ::testing::Each(0.0F));
}

TEST_F(Extract, ATeacherOfWholeUtterancesHearsEachAsItIs) {
  write_teacher(models_, {.name = "loud", .interface = 2, .code = kWholeCode, .normalise = false});
  for (const bool normalise : {true, false}) {
    enter(normalise ? "normalised" : "loud");
    ASSERT_EQ(run(spec_of(normalise ? "whole" : "loud", {{"layer", 0}})), 0);
    for (const Item& item : heard()) {
      const Audio audio = *read_audio(corpus_ / item.audio);
      std::vector<float> samples = resample(audio.samples, audio.rate, 16'000);
      if (normalise) normalise_utterance(samples);
      const at::Tensor wave = torch::tensor(samples).unfold(0, 400, 320);  // (frames, 400)
      const at::Tensor wanted = torch::stack(
          {wave.mean(1), wave.abs().amax(1), wave.select(1, 0), wave.select(1, 399)}, 1);
      const at::Tensor got = features_of(item);
      EXPECT_EQ(got.sizes(), wanted.sizes());
      EXPECT_TRUE(torch::allclose(got, wanted, 0, 1e-6)) << item.id;
    }
  }
}

TEST_F(Extract, TheLastLayerIsTakenUnlessAnotherOneIsAskedFor) {
  const Item item = heard().front();
  enter("zero");
  ASSERT_EQ(run(spec_of("whole", {{"layer", 0}})), 0);
  const at::Tensor zero = features_of(item);
  for (const Object& asked : {Object{}, Object{{"layer", "last"}}, Object{{"layer", 4}}}) {
    enter("last");
    ASSERT_EQ(run(spec_of("whole", asked)), 0);
    EXPECT_TRUE(torch::equal(features_of(item), zero * 5));
    EXPECT_EQ(*report().find("teacher.layer"), Value(4));
  }
}

TEST_F(Extract, AnAverageIsOverTheLayersThatAreSaid) {
  const Item item = heard().front();
  enter("one");
  ASSERT_EQ(run(spec_of("windows", {{"layer", 1}})), 0);
  const at::Tensor one = features_of(item);
  const auto average = [&](const std::string& teacher, const Object& range) {
    enter("average");
    Object more{{"layer", "average"}};
    if (!range.empty()) more["average"] = range;
    EXPECT_EQ(run(spec_of(teacher, more)), 0);
    return features_of(item);
  };
  EXPECT_TRUE(torch::allclose(average("windows", {}), one + 1.5));
  EXPECT_TRUE(torch::allclose(average("windows", {{"from", 3}, {"to", 4}}), one + 2.5));
  EXPECT_EQ(*report().find("teacher.average.from"), Value(3));
  // A frame of four equal values has nothing left.
  EXPECT_LT(average("windows", {{"norm", true}}).abs().max().item<float>(), 1e-3F);
  // teacher-2 is asked once: the toy says what for.
  const at::Tensor zero = average("whole", {{"from", 0}, {"to", 0}}) + 0;
  EXPECT_EQ(zero.abs().max().item<float>(), 0);
  const at::Tensor whole = average("whole", {{"from", 0}, {"norm", true}});
  const at::Tensor plain = average("whole", {});
  EXPECT_TRUE(torch::allclose(whole / 10400, plain / 401));
  EXPECT_GT(plain.abs().max().item<float>(), 0);
}

TEST_F(Extract, WhatIsNotThereToTakeIsRefused) {
  EXPECT_THAT(refusal(spec_of("windows", {{"layer", 0}})), HasSubstr("counted from 1, 0 was"));
  EXPECT_THAT(refusal(spec_of("whole", {{"layer", 5}})), HasSubstr("has 4 layers, 5 was"));
  EXPECT_THAT(refusal(spec_of("whole", {{"layer", "middle"}})), HasSubstr("teacher.layer"));
  EXPECT_THAT(refusal(spec_of("whole", {{"layer", "average"}, {"average", Object{{"to", 5}}}})),
              HasSubstr("has 4 layers, 5 was"));
  EXPECT_THAT(refusal(spec_of("whole", {{"layer", 2}, {"average", Object{{"from", 0}}}})),
              HasSubstr("only with `layer: average`"));
  EXPECT_THAT(refusal(spec_of("whole", {{"rejects_max", 1.5}})), HasSubstr("rejects_max"));
  write_teacher(models_, {.name = "short",
                          .interface = 2,
                          .code = "def forward(self, wav: Tensor, layer: int) -> Tensor:\n"
                                  "  return wav.unfold(1, 400, 400)[:, :, :4]\n"});
  EXPECT_THAT(refusal(spec_of("short", {{"rejects_max", 5}})), HasSubstr("its convolutions leave"));
}

TEST_F(Extract, ARecordingThatCannotBeHeardEndsTheStageUnlessRejectsAreAllowed) {
  const Item bad = heard()[2];
  cut(bad);
  enter("strict");
  EXPECT_THAT(refusal(spec_of("whole")), HasSubstr("hearing " + bad.id));
  enter("lenient");
  ASSERT_EQ(run(spec_of("whole", {{"rejects_max", 1}})), 0);
  const auto rejects = read_json_lines(folder_ / "features" / "rejects.jsonl");
  ASSERT_EQ(rejects->size(), 1U);
  EXPECT_EQ(*rejects->front().find("id"), Value(bad.id));
  const std::string reason = *rejects->front().find("reason")->if_string();
  EXPECT_THAT(reason, HasSubstr(bad.audio));
  EXPECT_THAT(reason, Not(HasSubstr(folder_.string()))) << "it is the same on every machine";
  EXPECT_EQ(*report().find("items"), Value(6));
  EXPECT_EQ(*report().find("statistics.rejected"), Value(1));
  EXPECT_NEAR(report().find("statistics.coverage.items")->to_double().value(), 6.0 / 7, 1e-12);
  // Who asks for them, as `train` does, is told which item it is, and why.
  const auto asked = FeatureFolder::open(folder_ / "features")->load(bad.id, bad.sha256);
  ASSERT_FALSE(asked.has_value());
  EXPECT_THAT(asked.error().message, HasSubstr("the item " + bad.id + " has no features"));
  EXPECT_THAT(asked.error().message, HasSubstr(reason));
}

TEST_F(Extract, MoreRejectsThanAllowedEndTheStage) {
  cut(heard()[0]);
  cut(heard()[5]);
  enter("count");
  EXPECT_THAT(refusal(spec_of("whole", {{"rejects_max", 1}})),
              HasSubstr("2 of 7 recordings are rejected, parameters.teacher.rejects_max allows 1; "
                        "the first: " +
                        heard()[0].id));
  enter("share");
  EXPECT_THAT(refusal(spec_of("whole", {{"rejects_max", 0.2}})), HasSubstr("allows 1"));
  ASSERT_EQ(run(spec_of("whole", {{"rejects_max", 0.3}})), 0);
  EXPECT_EQ(read_json_lines(folder_ / "features" / "rejects.jsonl")->size(), 2U);
}

TEST_F(Extract, StoppedAndResumedGivesTheSameBytesWithItsRejects) {
  cut(heard()[1]);
  const StageSpec spec = spec_of("whole", {{"rejects_max", 2}, {"dtype", "fp16"}});
  enter("undisturbed");
  ASSERT_EQ(run(spec), 0);
  const auto wanted = all_files(folder_ / "features");
  EXPECT_TRUE(wanted.contains("rejects.jsonl"));
  EXPECT_GT(run_in_pieces(spec), 3);
  EXPECT_EQ(all_files(folder_ / "features"), wanted);
}

TEST_F(Extract, ItemsAreKnownByTheirRecordingsInAnotherCorpusToo) {
  StageSpec spec = spec_of("whole");
  listen_for_stop_request();
  ASSERT_EQ(std::raise(SIGTERM), 0);
  const auto stopped = enter("stopped");
  ASSERT_EQ(run(spec), exit_code::kStopped);
  const auto lines = read_json_lines(stopped / "progress.jsonl");
  const auto checkpoint = stopped / *lines->back().find("checkpoint")->if_string();
  // The same recordings under other names.
  const auto other = folder_ / "other";
  std::filesystem::copy(corpus_, other, std::filesystem::copy_options::recursive);
  std::string manifest = *read_file(other / "manifest.jsonl");
  for (std::size_t at = 0; (at = manifest.find("\"id\":\"clip", at)) != std::string::npos; at += 9)
    manifest.replace(at, 10, "\"id\":\"klip");
  ASSERT_TRUE(write_file_atomic(other / "manifest.jsonl", manifest).has_value());
  std::string pairs = *read_file(other / "pairs.jsonl");
  for (std::size_t at = 0; (at = pairs.find("clip", at)) != std::string::npos;) pairs[at] = 'k';
  ASSERT_TRUE(write_file_atomic(other / "pairs.jsonl", pairs).has_value());
  spec.inputs["corpus"] = other;
  spec.resume = checkpoint;
  const auto resumed = enter("resumed");
  ASSERT_EQ(run(spec), exit_code::kStopped);
  const auto first = read_json_lines(resumed / "progress.jsonl")->front();
  EXPECT_EQ(*first.find("step"), Value(1)) << "the item of the other corpus is there";
  // Another layer is another thing.
  ASSERT_TRUE(spec.parameters.set("teacher.layer", 1).has_value());
  const auto anew = enter("anew");
  ASSERT_EQ(run(spec), exit_code::kStopped);
  EXPECT_EQ(*read_json_lines(anew / "progress.jsonl")->front().find("step"), Value(0));
}

TEST_F(Extract, OfSeveralChannelsTheFirstIsHeardWhereTheReferenceIsFollowed) {
  const Item item = heard().front();
  const Audio mono = *read_audio(corpus_ / item.audio);
  write_teacher(models_, {.name = "loud", .interface = 2, .code = kWholeCode, .normalise = false});
  enter("mono");
  ASSERT_EQ(run(spec_of("loud")), 0);
  const at::Tensor wanted = features_of(item);
  write_stereo(corpus_ / item.audio, mono.samples, mono.rate);
  ASSERT_EQ(read_audio(corpus_ / item.audio)->samples.size(), mono.samples.size());
  enter("average");
  ASSERT_EQ(run(spec_of("loud")), 0);
  EXPECT_TRUE(torch::allclose(features_of(item), wanted / 2, 0, 1e-5));
  EXPECT_EQ(report().find("teacher.compat"), nullptr);
  enter("first");
  ASSERT_EQ(run(spec_of("loud", {{"compat", Object{{"first_channel", true}}}})), 0);
  EXPECT_TRUE(torch::equal(features_of(item), wanted));
  EXPECT_EQ(*report().find("teacher.compat.first_channel"), Value(true));
}

TEST_F(Extract, TheReportSaysWhatTheFeaturesAreLike) {
  write_teacher(models_, {.name = "constant",
                          .interface = 1,
                          .code = "def forward(self, wav: Tensor, layer: int) -> Tensor:\n"
                                  "  out = torch.zeros([1, 1500, 4])\n"
                                  "  out[:, :, 1] = -3.0\n"
                                  "  out[:, :, 2] = 4.0\n"
                                  "  return out\n"});
  const auto attempt = enter("constant");
  ASSERT_EQ(run(spec_of("constant")), 0);
  std::int64_t frames = 0;
  double seconds = 0;
  for (const Item& item : heard()) {
    frames += teacher_frames(item.samples, item.rate, 50);
    seconds += item.seconds();
  }
  const Value said = report();
  EXPECT_EQ(*said.find("items"), Value(7));
  EXPECT_EQ(*said.find("bytes"), Value(frames * 4 * 4));
  const Object norm{{"mean", 5}, {"std", 0}, {"min", 5}, {"max", 5}};
  EXPECT_EQ(*said.find("statistics"),
            Value(Object{{"frames", frames},
                         {"seconds", seconds},
                         {"frames_per_second", static_cast<double>(frames) / seconds},
                         {"norm", norm},
                         {"dimension_mean", Object{{"min", -3}, {"max", 4}}},
                         {"rejected", 0},
                         {"coverage", Object{{"items", 1}, {"seconds", 1}}}}));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "features" / "rejects.jsonl"));
  const Value last = read_json_lines(attempt / "progress.jsonl")->back();
  EXPECT_EQ(*last.find("metrics.eta_seconds"), Value(0));
  EXPECT_EQ(*last.find("step"), *last.find("total"));
  EXPECT_GT(parse_json(*read_file(attempt / "recorded.json"))
                ->find("audio_seconds_per_second")
                ->to_double()
                .value(),
            0);
}

TEST_F(Extract, AnyNumberOfRanksWritesTheSameShardsAndStopsTogether) {
  constexpr std::int64_t kTwoItems = 1300;  // bytes: 40 frames of 4 values in fp32 are 640
  cut(heard()[4]);
  const StageSpec spec = spec_of("whole", {{"rejects_max", 1}});
  enter("one");
  ASSERT_EQ(run_as_gang(1, spec, kTwoItems), 0);
  const auto one = all_files(folder_ / "features");
  EXPECT_GT(one.size(), 5U) << "several shards, two lists and the report";
  for (const int ranks : {2, 3, 9}) {  // 9: more than items
    enter(std::to_string(ranks) + " ranks");
    std::filesystem::remove_all(folder_ / "features");
    ASSERT_EQ(run_as_gang(ranks, spec, kTwoItems), 0);
    EXPECT_EQ(all_files(folder_ / "features"), one) << ranks;
  }
  // A stop leaves one item more from each.
  listen_for_stop_request();
  ASSERT_EQ(std::raise(SIGTERM), 0);
  StageSpec rest = spec;
  std::filesystem::remove_all(folder_ / "features");
  const auto stopped = enter("stopped");
  ASSERT_EQ(run_as_gang(3, spec, kTwoItems), exit_code::kStopped);
  const Value last = read_json_lines(stopped / "progress.jsonl")->back();
  EXPECT_EQ(*last.find("step"), Value(3));
  rest.resume = stopped / *last.find("checkpoint")->if_string();
  enter("rest");
  ASSERT_EQ(run_as_gang(4, rest, kTwoItems), 0);
  EXPECT_EQ(all_files(folder_ / "features"), one);
}

TEST_F(Extract, TwoRanksWriteTheBytesOfOne) {
  cut(heard()[3]);
  const auto file = folder_ / "spec.json";
  const auto extract = [&](int ranks, const std::string& attempt,
                           const std::filesystem::path& resume = {}) {
    Object spec{{"contract", 1},
                {"task", std::string(64, '0')},
                {"stage", "extract"},
                {"attempt", 1},
                {"parameters", spec_of("whole", {{"rejects_max", 1}}).parameters},
                {"inputs", Object{{"corpus", corpus_.string()}}},
                {"outputs", Object{{"features", (folder_ / attempt / "features").string()}}},
                {"models", models_.string()},
                {"resume", resume.empty() ? Value() : Value(resume.string())},
                {"ranks", ranks}};
    EXPECT_TRUE(write_file_atomic(file, to_canonical_json(spec)).has_value());
    Command command{.extra_environment = {{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                                          {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                                          {"OMP_NUM_THREADS", "1"}},
                    .folder = enter(attempt)};
    if (ranks > 1) command.argv = {"mpirun", "-n", "2", "--oversubscribe", "--bind-to", "none"};
    for (const std::string& word : {kTrainer, std::string("extract"), file.string()})
      command.argv.push_back(word);
    const auto exit = spawn(command).and_then(wait_exit);
    EXPECT_TRUE(exit && exit->ok()) << (exit ? exit->describe() : exit.error().message);
    return all_files(folder_ / attempt / "features");
  };
  const auto one = extract(1, "one");
  EXPECT_EQ(one.size(), 4U);
  EXPECT_EQ(extract(2, "two"), one);
  // And go on where one was stopped.
  listen_for_stop_request();
  ASSERT_EQ(std::raise(SIGTERM), 0);
  const auto stopped = enter("stopped");
  ASSERT_EQ(run(spec_of("whole", {{"rejects_max", 1}})), exit_code::kStopped);
  const Value last = read_json_lines(stopped / "progress.jsonl")->back();
  EXPECT_EQ(extract(2, "resumed", stopped / *last.find("checkpoint")->if_string()), one);
  const Value first = read_json_lines(folder_ / "resumed" / "progress.jsonl")->front();
  EXPECT_EQ(*first.find("step"), Value(1));
}

}  // namespace
}  // namespace strata::trainer

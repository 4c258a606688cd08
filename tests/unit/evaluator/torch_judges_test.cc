#include "evaluator/torch_judges.h"

#include <gmock/gmock.h>
#include <torch/script.h>

#include <csignal>
#include <cstring>
#include <thread>

#include "base/audio/audio_file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "base/torch/archive.h"
#include "evaluator/text_commands.h"
#include "tests/unit/evaluator/scratch_folder.h"

namespace strata::evaluator {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::int64_t kWindow = 16'000;  // samples: the toy recognizer has windows of one second

std::string bytes_of(const at::Tensor& tensor) {
  const auto flat = tensor.contiguous();
  return {static_cast<const char*>(flat.data_ptr()), flat.nbytes()};
}

// A quiet buzz with pauses, enough of a recording for the sanity checks.
at::Tensor buzz(std::int64_t samples) {
  const auto time = at::arange(samples).to(at::kFloat) / 16'000.0;
  return (0.3 * at::sin(2 * M_PI * 200 * time)).unsqueeze(0);
}

// Hears tokens in the loudness of ten parts of its window; part of the silence at the end is the
// end of the text (id 9).
constexpr const char* kToyAsr = R"(
def forward(self, wav: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
  assert wav.size(1) == 16000
  loud = wav.abs().view(wav.size(0), 10, 1600).amax(2)
  end = torch.full_like(loud, 9.0).long()
  tokens = torch.where(loud > 0.0, (loud * 8.0).long().clamp(0, 8), end)
  return tokens, -loud.sum(1), (loud.sum(1) == 0).float()
)";
// Loudness, and how fast the signal moves.
constexpr const char* kToySpeaker = R"(
def forward(self, wav: Tensor) -> Tensor:
  return torch.stack([wav.abs().mean(1) + 0.001, (wav[:, 1:] - wav[:, :-1]).abs().mean(1)], 1)
)";
// Smooth is good, silence is bad.
constexpr const char* kToyMos = R"(
def forward(self, wav: Tensor) -> Tensor:
  rough = (wav[:, 1:] - wav[:, :-1]).abs().mean(1) / (wav.abs().mean(1) + 0.0001)
  return torch.where(wav.abs().sum(1) == 0, torch.ones_like(rough), 5.0 - rough.clamp(0.0, 4.0))
)";
// The same 3.37 for everything, as a public archive once gave when it was fed samples of another
// scale.
constexpr const char* kDeafMos = R"(
def forward(self, wav: Tensor) -> Tensor:
  return torch.full_like(wav[:, 0], 3.37)
)";
constexpr const char* kConstantSpeaker = R"(
def forward(self, wav: Tensor) -> Tensor:
  return torch.ones_like(wav[:, 0:4])
)";
// Fine on its test input, NaN on anything loud.
constexpr const char* kNanMos = R"(
def forward(self, wav: Tensor) -> Tensor:
  good = 5.0 - (wav[:, 1:] - wav[:, :-1]).abs().mean(1)
  heard = torch.where(wav.abs().sum(1) == 0, torch.ones_like(good), good)
  return torch.where(wav.abs().amax(1) > 5.0, torch.zeros_like(good) / 0.0, heard)
)";

// Fine on its test input, zeros for anything loud.
constexpr const char* kZeroSpeaker = R"(
def forward(self, wav: Tensor) -> Tensor:
  heard = torch.stack([wav.abs().mean(1) + 0.001, (wav[:, 1:] - wav[:, :-1]).abs().mean(1)], 1)
  return torch.where(wav.abs().amax(1, True) > 5.0, torch.zeros_like(heard), heard)
)";

// Of 16-bit samples: below a third of their range it hears nothing, and all is equally good.
constexpr const char* kLoudMos = R"(
def forward(self, wav: Tensor) -> Tensor:
  rough = (wav[:, 1:] - wav[:, :-1]).abs().mean(1)
  return torch.where(wav.abs().amax(1) < 0.25, torch.full_like(rough, 2.0), 5.0 - rough)
)";
// The angle turns with the loudness.
constexpr const char* kLoudSpeaker = R"(
def forward(self, wav: Tensor) -> Tensor:
  fast = (wav[:, 1:] - wav[:, :-1]).abs().mean(1)
  return torch.stack([10.0 * wav.square().mean(1), torch.full_like(fast, 0.1), 3.0 * fast], 1)
)";

class ToyJudges : public ScratchFolder {
 protected:
  struct Toy {
    std::string name{};
    std::string role{};
    std::string code{};
    at::Tensor input{};
    int sample_rate = kJudgeRate;
    std::string interface {};
  };

  // As tools/export writes one, the self-test's outputs being what the model gives.
  std::filesystem::path write_toy(const Toy& toy) const {
    torch::jit::Module module("toy");
    module.define(toy.code);
    torch::jit::ExtraFilesMap extra;
    Array inputs{Object{{"file", "self_test/input0"},
                        {"shape", Array{1, toy.input.size(1)}},
                        {"dtype", "float32"}}};
    Array outputs;
    extra["self_test/input0"] = bytes_of(toy.input);
    const auto result = module.forward({toy.input});
    std::vector<at::Tensor> tensors;
    if (result.isTensor()) {
      tensors = {result.toTensor()};
    } else {
      for (const auto& element : result.toTupleRef().elements())
        tensors.push_back(element.toTensor());
    }
    for (const auto& tensor : tensors) {
      const std::string file = fmt::format("self_test/output{}", outputs.size());
      Array shape;
      for (const std::int64_t n : tensor.sizes()) shape.emplace_back(n);
      extra[file] = bytes_of(tensor);
      outputs.emplace_back(Object{{"file", file},
                                  {"shape", std::move(shape)},
                                  {"dtype", tensor.is_floating_point() ? "float32" : "int64"}});
    }
    extra["strata.json"] = to_canonical_json(
        Object{{"name", toy.name},
               {"role", toy.role},
               {"family", "toy"},
               {"version", 1},
               {"exporter_version", 1},
               {"identity", "id-" + toy.name},
               {"interface", toy.interface.empty() ? toy.role + "-1" : toy.interface},
               {"torch_version", "1.13.1"},
               {"settings",
                Object{{"sample_rate", toy.sample_rate}, {"window_samples", kWindow}, {"eot", 9}}},
               {"self_test", Object{{"inputs", std::move(inputs)},
                                    {"outputs", std::move(outputs)},
                                    {"tolerance", 1e-5}}}});
    // " a" .. " i", and no bytes for the end of the text.
    extra["vocabulary"] =
        R"(["IGE=", "IGI=", "IGM=", "IGQ=", "IGU=", "IGY=", "IGc=", "IGg=", "IGk="])";
    const auto path = folder() / "models" / (toy.name + ".pt");
    EXPECT_TRUE(make_folder(path.parent_path()).has_value());
    module.save(path.string(), extra);
    return path;
  }
  std::filesystem::path asr() const {
    return write_toy({.name = "toy-asr", .role = "asr", .code = kToyAsr, .input = buzz(kWindow)});
  }
  std::filesystem::path speaker() const {
    return write_toy(
        {.name = "toy-speaker", .role = "speaker", .code = kToySpeaker, .input = buzz(16'000)});
  }
  std::filesystem::path mos() const {
    return write_toy({.name = "toy-mos", .role = "mos", .code = kToyMos, .input = buzz(16'000)});
  }
};

template <class Judge>
std::string error_of(const Result<std::unique_ptr<Judge>>& judge) {
  return judge ? "no error" : judge.error().message;
}

// Words of a tenth of a second: the loudness says which.
std::vector<float> say(const std::vector<int>& words) {
  std::vector<float> samples;
  for (const int word : words)
    samples.insert(samples.end(), 1600, (static_cast<float>(word) + 0.5F) / 8);
  return samples;
}

TEST_F(ToyJudges, ARecognizerGivesTextAndStopsAtTheEndOfIt) {
  const auto judge = open_asr_judge(asr(), "id-toy-asr").value();
  const auto hello = say({0, 4, 1});
  const Samples recording(hello);
  const auto transcripts = judge->transcribe(std::span(&recording, 1)).value();
  ASSERT_EQ(transcripts.size(), 1U);
  EXPECT_EQ(transcripts[0].text, " a e b");
  EXPECT_THAT(transcripts[0].tokens, testing::ElementsAre(0, 4, 1));
  EXPECT_EQ(transcripts[0].windows, 1);
  EXPECT_EQ(transcripts[0].no_speech_prob, 0);
  EXPECT_EQ(judge->info().label(), "toy-asr@1");
}

TEST_F(ToyJudges, ALongRecordingIsHeardToItsEnd) {
  const auto judge = open_asr_judge(asr(), "").value();
  const auto words = say({0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6});
  const Samples recording(words);
  const auto transcript = judge->transcribe(std::span(&recording, 1)).value().front();
  EXPECT_GE(transcript.windows, 3);
  EXPECT_THAT(transcript.text, HasSubstr(" e f g"));
  EXPECT_GE(transcript.tokens.size(), 23U);
}

TEST_F(ToyJudges, TokensDoNotDependOnWhatIsHeardTogether) {
  const auto judge = open_asr_judge(asr(), "").value();
  Random random(5);
  std::vector<std::vector<float>> sounds;
  for (std::size_t i = 0; i < kAsrBatchMax + 3; ++i) {
    sounds.emplace_back(1000 + 1700 * i);  // the last ones are longer than a window
    for (float& x : sounds.back())
      x = static_cast<float>(random.uniform() * (0.1 * static_cast<double>(i % 9)));
  }
  std::vector<Samples> recordings(sounds.begin(), sounds.end());
  const auto together = judge->transcribe(recordings).value();
  for (std::size_t i = 0; i < recordings.size(); ++i) {
    const auto alone = judge->transcribe(std::span(&recordings[i], 1)).value().front();
    EXPECT_EQ(together[i].tokens, alone.tokens) << i;
    EXPECT_EQ(together[i].text, alone.text) << i;
    EXPECT_EQ(together[i].windows, alone.windows) << i;
  }
}

TEST_F(ToyJudges, AnEmptyRecordingIsRefused) {
  const auto judge = open_asr_judge(asr(), "").value();
  const Samples nothing;
  EXPECT_THAT(judge->transcribe(std::span(&nothing, 1)).error().message,
              HasSubstr("has no sample"));
}

TEST_F(ToyJudges, OneVoiceIsLikeItselfAndAMosHearsNoise) {
  const auto voice = say({3, 2, 3});
  const auto judge = open_speaker_judge(speaker(), "").value();
  EXPECT_NEAR(cosine(judge->embed(voice).value(), judge->embed(voice).value()), 1, 1e-6);
  EXPECT_NEAR(open_mos_judge(mos(), "").value()->rate(std::vector<float>(100, 0.0F)).value(), 1.0,
              1e-6);
}

TEST_F(ToyJudges, AMosThatGivesTheSameForCleanAndNoisySpeechIsRefused) {
  const auto path =
      write_toy({.name = "deaf", .role = "mos", .code = kDeafMos, .input = buzz(16'000)});
  EXPECT_THAT(error_of(open_mos_judge(path, "")),
              HasSubstr("deaf: rates its test recording 3.370, the same with noise 3.370"));
}

TEST_F(ToyJudges, AnEmbeddingThatIsTheSameForEverythingIsRefused) {
  const auto path = write_toy(
      {.name = "constant", .role = "speaker", .code = kConstantSpeaker, .input = buzz(16'000)});
  EXPECT_THAT(error_of(open_speaker_judge(path, "")), HasSubstr("have the same embedding"));
}

TEST_F(ToyJudges, AJudgeWhoseAnswerHangsOnTheLoudnessIsRefused) {
  const auto mos =
      write_toy({.name = "loud", .role = "mos", .code = kLoudMos, .input = buzz(16'000)});
  EXPECT_THAT(error_of(open_mos_judge(mos, "")),
              AllOf(HasSubstr("loud: rates its test recording"), HasSubstr("0.25 times as loud"),
                    HasSubstr("samples of another scale?")));
  const auto speaker =
      write_toy({.name = "loud2", .role = "speaker", .code = kLoudSpeaker, .input = buzz(16'000)});
  EXPECT_THAT(error_of(open_speaker_judge(speaker, "")),
              AllOf(HasSubstr("a voice and the same 0.25 times as loud have similarity"),
                    HasSubstr("samples of another scale?")));
}

TEST_F(ToyJudges, ATestInputThatIsNoRecordingIsRefused) {
  const auto path =
      write_toy({.name = "short", .role = "mos", .code = kToyMos, .input = buzz(100)});
  EXPECT_THAT(error_of(open_mos_judge(path, "")), HasSubstr("its self-test input is no recording"));
}

TEST_F(ToyJudges, NanFromAJudgeIsAnErrorNotAScore) {
  const auto judge =
      open_mos_judge(
          write_toy({.name = "nan", .role = "mos", .code = kNanMos, .input = buzz(16'000)}), "")
          .value();
  EXPECT_TRUE(judge->rate(say({3})).has_value());
  const auto nan = judge->rate(std::vector<float>(100, 9.0F));
  EXPECT_THAT(nan.error().message, HasSubstr("judge nan gave NaN or infinity"));
  EXPECT_EQ(exit_code_of(nan.error()), 2) << "a retry gives the same";
}

TEST_F(ToyJudges, AnEmbeddingOfZerosIsAnErrorThatNoRetryCures) {
  const auto path =
      write_toy({.name = "zero", .role = "speaker", .code = kZeroSpeaker, .input = buzz(16'000)});
  const auto judge = open_speaker_judge(path, "").value();
  EXPECT_TRUE(judge->embed(say({3})).has_value());
  const auto zeros = judge->embed(std::vector<float>(100, 9.0F));
  EXPECT_THAT(zeros.error().message, HasSubstr("an embedding of zeros"));
  EXPECT_EQ(exit_code_of(zeros.error()), 2);
}

TEST_F(ToyJudges, AnotherRoleIdentityRateOrInterfaceIsRefused) {
  EXPECT_THAT(error_of(open_mos_judge(asr(), "")),
              HasSubstr("its role is \"asr\", a \"mos\" is needed"));
  EXPECT_THAT(error_of(open_asr_judge(asr(), "other")),
              HasSubstr("its identity is id-toy-asr, the spec asks for other"));
  EXPECT_THAT(error_of(open_asr_judge(folder() / "none.pt", "")), HasSubstr("none.pt"));
  const auto slow = write_toy(
      {.name = "slow", .role = "mos", .code = kToyMos, .input = buzz(16'000), .sample_rate = 8000});
  EXPECT_THAT(error_of(open_mos_judge(slow, "")),
              HasSubstr("it hears 8000 Hz, judges are given 16000 Hz"));
  const auto future = write_toy({.name = "future",
                                 .role = "mos",
                                 .code = kToyMos,
                                 .input = buzz(16'000),
                                 .interface = "mos-2"});
  EXPECT_THAT(error_of(open_mos_judge(future, "")), HasSubstr("its interface is \"mos-2\""));
}

TEST_F(ToyJudges, ACutOffArchiveIsRefusedWithoutACrash) {
  const auto path = asr();
  const std::string whole = read_file(path).value();
  for (const std::size_t length :
       {whole.size() - 1, whole.size() / 2, std::size_t{10}, std::size_t{0}}) {
    ASSERT_TRUE(write_file_atomic(path, whole.substr(0, length)).has_value());
    const auto judge = open_asr_judge(path, "");
    ASSERT_FALSE(judge.has_value()) << length;
    EXPECT_EQ(judge.error().code, ErrorCode::kDamaged) << judge.error().message;
  }
}

// strata-evaluator score with toy judges, as a worker starts it.
class ScoreProgram : public ToyJudges {
 protected:
  void SetUp() override {
    asr();
    speaker();
    mos();
    std::string list;
    for (int i = 0; i < kRecordings; ++i) {
      const std::string id = fmt::format("u{:02}", i);
      EXPECT_TRUE(make_folder(folder() / "audio").has_value());
      EXPECT_TRUE(
          write_wav(folder() / "audio" / (id + ".wav"), say({i % 8, 1, (i + 3) % 8}), kJudgeRate)
              .has_value());
      list += to_canonical_json(Object{{"id", id},
                                       {"set", i % 4 == 3 ? "recordings" : "generated"},
                                       {"audio", id + ".wav"},
                                       {"text", "a b d"},
                                       {"prompt", "u00.wav"},
                                       {"speaker", i % 2 == 0 ? "x" : "y"},
                                       {"seconds", 0.3}}) +
              "\n";
    }
    write("audio/list.jsonl", list);
  }
  std::filesystem::path prepare(const std::string& attempt) const {
    const auto own = folder() / attempt;
    const auto judge = [](const std::string& name) {
      return Object{{"name", name}, {"identity", "id-" + name}};
    };
    write(attempt + "/spec.json",
          to_canonical_json(
              Object{{"contract", 1},
                     {"task", "9f"},
                     {"stage", "score"},
                     {"attempt", 1},
                     {"slots", 1},
                     {"ranks", 1},
                     {"threads", 1},
                     {"resume", Value()},
                     {"inputs", Object{{"audio", (folder() / "audio").string()}}},
                     {"outputs", Object{{"report", (own / "out/report").string()}}},
                     {"models", (folder() / "models").string()},
                     {"parameters", Object{{"protocol", "f5"},
                                           {"resamples", 200},
                                           {"judges", Object{{"asr", judge("toy-asr")},
                                                             {"speaker", judge("toy-speaker")},
                                                             {"mos", judge("toy-mos")}}}}}}));
    return own;
  }
  static Command command(const std::filesystem::path& own) {
    return {
        .argv = {std::string(STRATA_BINARY_DIR) + "/bin/strata-evaluator", "score", "spec.json"},
        .folder = own,
        .stdout_file = own / "log",
        .stderr_file = own / "log"};
  }
  Exit run(const std::string& attempt) const {
    return wait_exit(spawn(command(prepare(attempt))).value()).value();
  }
  [[nodiscard]] std::size_t lines(const std::string& attempt) const {
    const auto text = read_file(folder() / attempt / "out/report/utterances.jsonl").value_or("");
    return static_cast<std::size_t>(std::ranges::count(text, '\n'));
  }
  [[nodiscard]] bool wait_for_lines(const std::string& attempt, std::size_t count) const {
    for (int patience = 0; patience < 60'000; ++patience) {
      if (lines(attempt) >= count) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }
  [[nodiscard]] std::string outputs(const std::string& attempt) const {
    return read(attempt + "/out/report/utterances.jsonl") +
           read(attempt + "/out/report/report.json") + read(attempt + "/scores.json");
  }

  static constexpr int kRecordings = 60;
  static constexpr int kRounds = 5;
};

TEST_F(ScoreProgram, GivesScoresProgressAndReport) {
  ASSERT_EQ(run("one").code, 0) << read("one/log");
  EXPECT_EQ(lines("one"), static_cast<std::size_t>(kRecordings));
  const Value report = parse_json(read("one/out/report/report.json")).value();
  EXPECT_EQ(*report.find("judges.asr.identity"), Value("id-toy-asr"));
  EXPECT_EQ(*report.find("sets.generated.mos.count"), Value(45));
  EXPECT_THAT(read("one/scores.json"), HasSubstr("\"judge\":\"toy-mos@1\""));
  EXPECT_THAT(read("one/progress.jsonl"), HasSubstr("\"step\":60,\"total\":60"));
}

// On a loaded machine the signal may come when all is done already: then the case is set up again.
TEST_F(ScoreProgram, KilledAfterAFewRecordingsAndStartedAgainGivesTheSameBytes) {
  ASSERT_EQ(run("whole").code, 0) << read("whole/log");
  bool killed = false;
  for (int round = 0; round < kRounds && !killed; ++round) {
    const std::string name = fmt::format("killed-{}", round);
    const pid_t child = spawn(command(prepare(name))).value();
    const bool started = wait_for_lines(name, 3);
    ::kill(child, SIGKILL);
    killed = wait_exit(child).value().signal == SIGKILL;
    ASSERT_TRUE(started) << read(name + "/log");
    if (!killed) continue;
    EXPECT_FALSE(std::filesystem::exists(folder() / name / "scores.json"));
    ASSERT_EQ(run(name).code, 0) << read(name + "/log");
    EXPECT_EQ(outputs(name), outputs("whole"));
    EXPECT_THAT(read(name + "/log"), HasSubstr("are scored already"));
  }
  EXPECT_TRUE(killed);
}

TEST_F(ScoreProgram, SigtermEndsWithACheckpointAndExitCodeFour) {
  bool stopped = false;
  for (int round = 0; round < kRounds && !stopped; ++round) {
    const std::string name = fmt::format("stopped-{}", round);
    const pid_t child = spawn(command(prepare(name))).value();
    const bool started = wait_for_lines(name, 2);
    ::kill(child, SIGTERM);
    const int code = wait_exit(child).value().code;
    ASSERT_TRUE(started) << read(name + "/log");
    stopped = code == 4;
    if (!stopped) continue;
    EXPECT_THAT(read(name + "/progress.jsonl"), HasSubstr("\"checkpoint\":\"checkpoints/"));
  }
  EXPECT_TRUE(stopped);
}

// The same recordings by a list of seed-tts-eval and without a spec.
TEST_F(ScoreProgram, AListByHandIsStoppedGoesOnAndGivesTheSameBytes) {
  std::string list;
  for (int i = 0; i < kRecordings; ++i)
    list += fmt::format("u{:02}|a prompt|audio/u00.wav|a b d\r\n", i);
  write("meta.lst", list);
  const auto by_hand = [&](const std::string& out) {
    Command given = command(folder());
    given.argv = {given.argv[0], "score",       "--list",   "meta.lst", "--wavs", "audio",
                  "--protocol",  "f5",          "--models", "models",   "--asr",  "toy-asr",
                  "--speaker",   "toy-speaker", "--mos",    "toy-mos",  "--out",  out};
    given.stderr_file = folder() / (out + ".log");
    return given;
  };
  const auto outputs_of = [&](const std::string& out) {
    return read(out + "/utterances.jsonl") + read(out + "/report.json") +
           read(out + "/scores.json");
  };
  ASSERT_EQ(wait_exit(spawn(by_hand("whole")).value()).value().code, 0) << read("whole.log");
  EXPECT_THAT(read("log"), HasSubstr("meta.lst, 60 utterances, protocol f5 1"));
  EXPECT_THAT(read("whole/report.json"), HasSubstr("\"list_file_sha256\": \""));
  bool stopped = false;
  for (int round = 0; round < kRounds && !stopped; ++round) {
    const std::string out = fmt::format("stopped-{}", round);
    const pid_t child = spawn(by_hand(out)).value();
    for (int patience = 0; patience < 60'000; ++patience) {
      if (read_file(folder() / out / "utterances.jsonl").value_or("").find('\n') !=
          std::string::npos)
        break;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ::kill(child, SIGINT);
    stopped = wait_exit(child).value().code == 4;
    if (!stopped) continue;
    ASSERT_EQ(wait_exit(spawn(by_hand(out)).value()).value().code, 0) << read(out + ".log");
    EXPECT_EQ(outputs_of(out), outputs_of("whole"));
    EXPECT_THAT(read(out + ".log"), HasSubstr("are scored already"));
  }
  EXPECT_TRUE(stopped);
}

TEST_F(ScoreProgram, AWrongIdentityIsExitCodeTwo) {
  prepare("wrong");
  std::string spec = read("wrong/spec.json");
  spec.replace(spec.find("id-toy-mos"), 10, "id-changed");
  write("wrong/spec.json", spec);
  EXPECT_EQ(wait_exit(spawn(command(folder() / "wrong")).value()).value().code, 2);
  EXPECT_THAT(read("wrong/log"), HasSubstr("the spec asks for id-changed"));
}

}  // namespace
}  // namespace strata::evaluator

#include "evaluator/torch_judges.h"

#include <torch/version.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/log.h"
#include "base/random.h"
#include "base/torch/archive.h"
#include "base/torch/torch.h"
#include "evaluator/core/vocabulary.h"
#include "evaluator/core/windows.h"

namespace strata::evaluator {
namespace {

// Half a second: shorter self-test inputs are no speech.
constexpr std::size_t kTestSamplesMin = 8'000;
constexpr std::uint64_t kNoiseSeed = 42;
constexpr double kTestLevelMin = 1e-4;  // root mean square
constexpr double kSameEmbedding = 0.99999;
constexpr double kSameVoice = 0.8;  // at least, whatever the loudness
constexpr std::array<float, 2> kGains{0.25F, 2.0F};

JudgeInfo info_of(const Archive& archive) {
  const ArchiveInfo& a = archive.info();
  return {.name = a.name,
          .role = a.role,
          .family = a.family,
          .version = a.version,
          .exporter_version = a.exporter_version,
          .identity = a.identity,
          .torch_version = a.torch_version,
          .interface = a.interface,
          .settings = a.settings};
}

// Opens with self-test, and checks that the model hears at the rate that judges are given.
Result<Archive> open_archive(const std::filesystem::path& path, const std::string& role,
                             const std::string& identity) {
  STRATA_TRY(Archive archive,
             Archive::load(path, {.role = role, .interface = role + "-1", .identity = identity}));
  STRATA_TRY(const std::int64_t rate, archive.setting("sample_rate"));
  if (rate != kJudgeRate) {
    return fail(ErrorCode::kUnsupported,
                "exported model {}: it hears {} Hz, judges are given {} Hz", path.string(), rate,
                kJudgeRate);
  }
  return archive;
}

// Runs forward(); NaN and infinity are errors: such a score must not reach a table. The same
// recording gives them again, so no retry is asked for.
Result<std::vector<at::Tensor>> run_finite(Archive& archive, at::Tensor input) {
  STRATA_TRY(auto outputs, archive.run({std::move(input)}));
  for (const auto& output : outputs) {
    if (output.is_floating_point() && !output.isfinite().all().item<bool>()) {
      return fail(ErrorCode::kInvalid, "judge {} gave NaN or infinity", archive.info().name);
    }
  }
  return outputs;
}

torch::Tensor as_row(Samples samples) {
  return torch::from_blob(const_cast<float*>(samples.data()),
                          {1, static_cast<std::int64_t>(samples.size())},  // NOLINT
                          torch::kFloat32)
      .clone();
}

std::vector<float> as_samples(const torch::Tensor& tensor) {
  const auto flat = tensor.detach().cpu().to(torch::kFloat32).contiguous().view({-1});
  return {flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel()};
}

double rms(Samples samples) {
  double sum = 0;
  for (const float x : samples) sum += static_cast<double>(x) * static_cast<double>(x);
  return samples.empty() ? 0 : std::sqrt(sum / static_cast<double>(samples.size()));
}

// White noise of the given root mean square.
std::vector<float> white_noise(std::size_t count, double level) {
  Random random(kNoiseSeed);
  std::vector<float> noise(count);
  for (float& x : noise) x = static_cast<float>((random.uniform() - 0.5) * std::sqrt(12.0) * level);
  return noise;
}

std::vector<float> scaled(std::vector<float> samples, float gain) {
  for (float& x : samples) x *= gain;
  return samples;
}

// The archive's own test input, when it is one recording that is long and loud enough to hear
// something in.
Result<std::vector<float>> test_recording(const Archive& archive) {
  STRATA_TRY(const auto inputs, archive.self_test_inputs());
  const auto* tensor = inputs.size() == 1 ? std::get_if<at::Tensor>(&inputs.front()) : nullptr;
  auto samples = tensor == nullptr ? std::vector<float>() : as_samples(*tensor);
  if (samples.size() >= kTestSamplesMin && rms(samples) >= kTestLevelMin) return samples;
  return fail(ErrorCode::kInvalid, "judge {}: its self-test input is no recording to check it with",
              archive.info().name);
}

class TorchAsr final : public AsrJudge {
 public:
  TorchAsr(Archive archive, Vocabulary vocabulary, std::int64_t end, std::size_t window)
      : archive_(std::move(archive)),
        info_(info_of(archive_)),
        vocabulary_(std::move(vocabulary)),
        end_(end),
        window_(window) {}
  const JudgeInfo& info() const override { return info_; }
  Result<std::vector<Transcript>> transcribe(std::span<const Samples> recordings) override;

 private:
  struct Piece {
    std::size_t recording = 0;
    Window window{};
  };
  Status transcribe_pieces(std::span<const Samples> recordings, std::span<const Piece> pieces,
                           std::vector<Transcript>& transcripts);

  Archive archive_;
  JudgeInfo info_;
  Vocabulary vocabulary_;
  std::int64_t end_;
  std::size_t window_;
};

Result<std::vector<Transcript>> TorchAsr::transcribe(std::span<const Samples> recordings) {
  std::vector<Piece> pieces;
  std::vector<Transcript> transcripts(recordings.size());
  const std::size_t sixth = window_ / 6;  // look for a quiet place in the last sixth: 5 s of 30
  for (std::size_t r = 0; r < recordings.size(); ++r) {
    if (recordings[r].empty()) return fail(ErrorCode::kInvalid, "recording {} has no sample", r);
    const auto windows = cut_windows(
        recordings[r],
        {.length_max = window_, .search = sixth, .quiet = std::min<std::size_t>(1600, sixth)});
    transcripts[r].windows = static_cast<int>(windows.size());
    for (const Window& window : windows) pieces.push_back({r, window});
  }
  for (std::size_t begin = 0; begin < pieces.size(); begin += kAsrBatchMax) {
    const auto count = std::min(kAsrBatchMax, pieces.size() - begin);
    STRATA_CHECK_OK(
        transcribe_pieces(recordings, std::span(pieces).subspan(begin, count), transcripts));
  }
  return transcripts;
}

Status TorchAsr::transcribe_pieces(std::span<const Samples> recordings,
                                   std::span<const Piece> pieces,
                                   std::vector<Transcript>& transcripts) {
  const auto batch = static_cast<std::int64_t>(pieces.size());
  torch::Tensor wave = torch::zeros({batch, static_cast<std::int64_t>(window_)});
  for (std::size_t b = 0; b < pieces.size(); ++b) {
    const auto& [recording, window] = pieces[b];
    const Samples samples = recordings[recording].subspan(window.begin, window.end - window.begin);
    std::ranges::copy(samples, wave.data_ptr<float>() + b * window_);
  }
  STRATA_TRY(const auto outputs, run_finite(archive_, wave));
  if (outputs.size() != 3 || outputs[0].dim() != 2 || outputs[0].size(0) != batch ||
      outputs[0].scalar_type() != torch::kInt64) {
    return fail(ErrorCode::kInvalid,
                "{} does not give (tokens [B, T], sum_logprob [B], no_speech_prob [B])",
                info().name);
  }
  const auto tokens = outputs[0].cpu().contiguous();
  const auto silences = as_samples(outputs[2]);
  for (std::size_t b = 0; b < pieces.size(); ++b) {
    const std::int64_t* row =
        tokens.data_ptr<std::int64_t>() + static_cast<std::int64_t>(b) * tokens.size(1);
    const std::vector<std::int64_t> ids(row, std::find(row, row + tokens.size(1), end_));
    STRATA_TRY(const std::string text, vocabulary_.decode(ids, end_));
    Transcript& transcript = transcripts[pieces[b].recording];
    const bool first = pieces[b].window.begin == 0;
    if (!first) transcript.text += " ";
    transcript.text += text;
    transcript.tokens.insert(transcript.tokens.end(), ids.begin(), ids.end());
    if (first) transcript.no_speech_prob = static_cast<double>(silences[b]);
  }
  return {};
}

class TorchSpeaker final : public SpeakerJudge {
 public:
  explicit TorchSpeaker(Archive archive) : archive_(std::move(archive)), info_(info_of(archive_)) {}
  const JudgeInfo& info() const override { return info_; }
  Result<std::vector<float>> embed(Samples recording) override {
    STRATA_TRY(const auto outputs, run_finite(archive_, as_row(recording)));
    if (outputs.size() != 1 || outputs[0].dim() != 2 || outputs[0].size(0) != 1) {
      return fail(ErrorCode::kInvalid, "{} does not give one embedding [1, width]", info().name);
    }
    auto embedding = as_samples(outputs[0]);
    if (std::ranges::all_of(embedding, [](float x) { return x == 0; })) {
      return fail(ErrorCode::kInvalid, "{} gave an embedding of zeros", info().name);
    }
    return embedding;
  }
  Status check_sanity() {
    STRATA_TRY(const auto voice, test_recording(archive_));
    STRATA_TRY(const auto one, embed(voice));
    STRATA_TRY(const auto again, embed(voice));
    STRATA_TRY(const auto noise, embed(white_noise(voice.size(), rms(voice))));
    if (std::abs(cosine(one, again) - 1) > 1e-6) {
      return fail(ErrorCode::kDamaged,
                  "{}: one recording compared with itself has similarity {:.6f}, not 1",
                  info().name, cosine(one, again));
    }
    if (cosine(one, noise) > kSameEmbedding) {
      return fail(ErrorCode::kDamaged,
                  "{}: a voice and noise have the same embedding (cosine {:.6f})", info().name,
                  cosine(one, noise));
    }
    for (const float gain : kGains) {
      STRATA_TRY(const auto louder, embed(scaled(voice, gain)));
      if (cosine(one, louder) > std::max(kSameVoice, cosine(one, noise))) continue;
      return fail(
          ErrorCode::kDamaged,
          "{}: a voice and the same {} times as loud have similarity {:.3f}: does it expect "
          "samples of another scale?",
          info().name, gain, cosine(one, louder));
    }
    return {};
  }

 private:
  Archive archive_;
  JudgeInfo info_;
};

class TorchMos final : public MosJudge {
 public:
  TorchMos(Archive archive, std::int64_t output)
      : archive_(std::move(archive)), info_(info_of(archive_)), output_(output) {}
  const JudgeInfo& info() const override { return info_; }
  Result<double> rate(Samples recording) override {
    STRATA_TRY(const auto outputs, run_finite(archive_, as_row(recording)));
    if (outputs.size() != 1 || outputs[0].numel() <= output_) {
      return fail(ErrorCode::kInvalid, "{} does not give the scores that its settings name",
                  info().name);
    }
    return static_cast<double>(as_samples(outputs[0])[static_cast<std::size_t>(output_)]);
  }
  Status check_sanity() {
    STRATA_TRY(const auto clean, test_recording(archive_));
    auto noisy = white_noise(clean.size(), rms(clean));
    for (std::size_t i = 0; i < clean.size(); ++i) noisy[i] += clean[i];
    STRATA_TRY(const double of_clean, rate(clean));
    STRATA_TRY(const double of_noisy, rate(noisy));
    STRATA_TRY(const double of_silence, rate(std::vector<float>(clean.size(), 0.0F)));
    log_info("evaluator", "{}: clean {:.3f}, with noise at 0 dB {:.3f}, silence {:.3f}",
             info().label(), of_clean, of_noisy, of_silence);
    if (of_clean > of_noisy && of_clean >= of_silence) return check_gains(clean, noisy);
    return fail(
        ErrorCode::kDamaged,
        "{}: rates its test recording {:.3f}, the same with noise {:.3f}, silence {:.3f}: a judge "
        "that ranks these so measures something else",
        info().name, of_clean, of_noisy, of_silence);
  }

 private:
  // A model that was trained on samples of another scale (16-bit integers, say) rates everything
  // alike or turns around when they are louder or softer.
  Status check_gains(const std::vector<float>& clean, const std::vector<float>& noisy) {
    for (const float gain : kGains) {
      STRATA_TRY(const double of_clean, rate(scaled(clean, gain)));
      STRATA_TRY(const double of_noisy, rate(scaled(noisy, gain)));
      if (of_clean > of_noisy) continue;
      return fail(ErrorCode::kDamaged,
                  "{}: rates its test recording {:.3f} and the same with noise {:.3f} where both "
                  "are {} times as loud: does it expect samples of another scale?",
                  info().name, of_clean, of_noisy, gain);
    }
    return {};
  }

  Archive archive_;
  JudgeInfo info_;
  std::int64_t output_;
};

// Which of the outputs that the settings name is the overall score.
Result<std::int64_t> overall_output(const ArchiveInfo& info) {
  const Value* outputs = info.settings.find("outputs");
  if (outputs == nullptr) return 0;
  const Array* names = outputs->if_array();
  for (const char* wanted : {"mos", "ovrl"}) {
    for (std::size_t i = 0; names != nullptr && i < names->size(); ++i) {
      if ((*names)[i] == Value(wanted)) return static_cast<std::int64_t>(i);
    }
  }
  return fail(ErrorCode::kInvalid, "{}: none of its outputs is named \"mos\" or \"ovrl\"",
              info.name);
}

Result<std::filesystem::path> path_of(const ScoreSpec& spec, const JudgeChoice& choice) {
  if (choice.identity.empty())
    log_warning("evaluator", "judge {}: the spec names no identity; what lies there is taken",
                choice.name);
  return Archive::path_of(spec.models, choice.name);
}

}  // namespace

Result<std::unique_ptr<AsrJudge>> open_asr_judge(const std::filesystem::path& path,
                                                 const std::string& identity) {
  STRATA_TRY(Archive archive, open_archive(path, "asr", identity));
  STRATA_TRY(const std::int64_t end, archive.setting("eot"));
  STRATA_TRY(const std::int64_t window, archive.setting("window_samples"));
  if (window < kJudgeRate)
    return fail(ErrorCode::kInvalid, "{}: a window of {} samples is too short", archive.info().name,
                window);
  STRATA_TRY(const std::string json, archive.extra("vocabulary"));
  auto vocabulary = Vocabulary::parse(json);
  if (!vocabulary) return tl::unexpected(vocabulary.error().while_doing(path.string()));
  return std::unique_ptr<AsrJudge>(std::make_unique<TorchAsr>(
      std::move(archive), std::move(*vocabulary), end, static_cast<std::size_t>(window)));
}

Result<std::unique_ptr<SpeakerJudge>> open_speaker_judge(const std::filesystem::path& path,
                                                         const std::string& identity) {
  STRATA_TRY(Archive archive, open_archive(path, "speaker", identity));
  auto judge = std::make_unique<TorchSpeaker>(std::move(archive));
  STRATA_CHECK_OK(judge->check_sanity());
  return std::unique_ptr<SpeakerJudge>(std::move(judge));
}

Result<std::unique_ptr<MosJudge>> open_mos_judge(const std::filesystem::path& path,
                                                 const std::string& identity) {
  STRATA_TRY(Archive archive, open_archive(path, "mos", identity));
  STRATA_TRY(const std::int64_t output, overall_output(archive.info()));
  auto judge = std::make_unique<TorchMos>(std::move(archive), output);
  STRATA_CHECK_OK(judge->check_sanity());
  return std::unique_ptr<MosJudge>(std::move(judge));
}

Result<Judges> open_judges(const ScoreSpec& spec) {
  Judges judges;
  if (spec.asr) {
    STRATA_TRY(const auto path, path_of(spec, *spec.asr));
    STRATA_TRY(judges.asr, open_asr_judge(path, spec.asr->identity));
  }
  if (spec.speaker) {
    STRATA_TRY(const auto path, path_of(spec, *spec.speaker));
    STRATA_TRY(judges.speaker, open_speaker_judge(path, spec.speaker->identity));
  }
  if (spec.mos) {
    STRATA_TRY(const auto path, path_of(spec, *spec.mos));
    STRATA_TRY(judges.mos, open_mos_judge(path, spec.mos->identity));
  }
  return judges;
}

Result<bool> verify_judge(const std::filesystem::path& archive) {
  STRATA_TRY(const ArchiveInfo info, Archive::describe(archive));
  const auto opened = [](const auto& judge) {
    return judge ? Status() : Status(tl::unexpected(judge.error()));
  };
  if (info.role == "asr") {
    STRATA_CHECK_OK(opened(open_asr_judge(archive, "")));
  } else if (info.role == "speaker") {
    STRATA_CHECK_OK(opened(open_speaker_judge(archive, "")));
  } else if (info.role == "mos") {
    STRATA_CHECK_OK(opened(open_mos_judge(archive, "")));
  } else {
    STRATA_TRY(const Archive model, Archive::load(archive));
    return false;
  }
  return true;
}

std::string libtorch_version() { return TORCH_VERSION; }

}  // namespace strata::evaluator

#include "trainer/vocoder.h"

#include "base/torch/torch.h"

namespace strata::trainer {
namespace {

constexpr const char* kInterface = "vocoder-1";

}  // namespace

Result<Vocoder> Vocoder::load(const std::filesystem::path& models, const ModelChoice& choice) {
  STRATA_TRY(const auto path, Archive::path_of(models, choice.name));
  STRATA_TRY(Archive archive,
             Archive::load(
                 path, {.role = "vocoder", .interface = kInterface, .identity = choice.identity}));
  STRATA_TRY(const std::int64_t rate, archive.setting("sample_rate"));
  STRATA_TRY(const std::int64_t bands, archive.setting("bands"));
  STRATA_TRY(const std::int64_t hop, archive.setting("hop"));
  // The bands tell HiFi-GAN's front end from the two others; those need a vocoder of their own,
  // which is not exported yet.
  const MelConfig mel = mel_config(MelKind::kHifigan);
  if (rate != mel.rate || bands != mel.bands || hop != mel.hop) {
    return fail(
        ErrorCode::kUnsupported,
        "the vocoder {} wants {} bands at {} Hz, hop {}: the only mel known for vocoders is {}",
        choice.name, bands, rate, hop, name_of(mel.kind));
  }
  return Vocoder(std::move(archive), mel);
}

Result<std::vector<float>> Vocoder::speak(const at::Tensor& mel) {
  if (mel.dim() != 2 || mel.size(0) < 1 || mel.size(1) != mel_.bands) {
    return fail(ErrorCode::kInvalid, "the vocoder needs a mel of {} bands and at least one frame",
                mel_.bands);
  }
  if (!mel.isfinite().all().item<bool>())
    return fail(ErrorCode::kInvalid, "the mel holds values that are not finite");
  STRATA_TRY(const at::Tensor wave,
             archive_.run_one({mel.to(at::kFloat).t().unsqueeze(0).contiguous()}));
  if (wave.dim() != 2 || wave.size(0) != 1 || wave.size(1) != mel.size(0) * mel_.hop) {
    return fail(ErrorCode::kUnsupported,
                "the vocoder {} gave another number of samples than {} a frame",
                archive_.info().name, mel_.hop);
  }
  const at::Tensor flat = wave.contiguous();
  const float* data = flat.const_data_ptr<float>();
  return std::vector<float>(data, data + flat.numel());
}

}  // namespace strata::trainer

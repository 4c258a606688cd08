#include "trainer/vocoder.h"

#include <algorithm>

#include "base/json.h"
#include "base/sha256.h"
#include "base/torch/torch.h"

namespace strata::trainer {
namespace {

constexpr std::string_view kGriffinLimPrefix = "griffin-lim-";
// Raised by hand when a change makes other sound of the same mel, here and in the catalogue.
constexpr int kGriffinLimVersion = 1;

// The front end that an archive says it was trained on.
Result<MelConfig> front_end_of(const Archive& archive) {
  const ArchiveInfo& info = archive.info();
  std::string kind = name_of(MelKind::kHifigan);
  if (info.interface == "vocoder-2") {
    const Value* mel = info.settings.find("mel");
    if (mel == nullptr || mel->if_string() == nullptr) {
      return fail(ErrorCode::kInvalid,
                  "the vocoder {} has the interface vocoder-2, but no text settings.mel",
                  info.name);
    }
    kind = *mel->if_string();
  } else if (info.interface != "vocoder-1") {
    return fail(ErrorCode::kUnsupported,
                "the vocoder {} has the interface \"{}\", this program speaks vocoder-1 and "
                "vocoder-2",
                info.name, info.interface);
  }
  auto parsed = parse_mel_kind(kind);
  if (!parsed) return tl::unexpected(parsed.error().while_doing("the vocoder " + info.name));
  const MelConfig mel = mel_config(*parsed);
  STRATA_TRY(const std::int64_t rate, archive.setting("sample_rate"));
  STRATA_TRY(const std::int64_t bands, archive.setting("bands"));
  STRATA_TRY(const std::int64_t hop, archive.setting("hop"));
  if (rate != mel.rate || bands != mel.bands || hop != mel.hop) {
    return fail(
        ErrorCode::kUnsupported,
        "the vocoder {} wants {} bands at {} Hz, hop {}: the mel {} has {} at {} Hz, hop {}",
        info.name, bands, rate, hop, name_of(mel.kind), mel.bands, mel.rate, mel.hop);
  }
  return mel;
}

Result<GriffinLim> built_in(const VocoderChoice& choice) {
  const std::string_view kind = std::string_view(choice.name).substr(kGriffinLimPrefix.size());
  auto parsed = parse_mel_kind(kind);
  if (!parsed) return tl::unexpected(parsed.error().while_doing("the vocoder " + choice.name));
  const std::string identity = griffin_lim_identity(*parsed);
  if (!choice.identity.empty() && choice.identity != identity) {
    return fail(ErrorCode::kInvalid,
                "the vocoder {} of this program has the identity {}, the spec asks for {}: submit "
                "again with the catalogue of this version",
                choice.name, identity, choice.identity);
  }
  GriffinLimOptions options;
  if (choice.iterations) options.iterations = static_cast<int>(*choice.iterations);
  return GriffinLim(mel_config(*parsed), options);
}

Result<std::vector<float>> run(Archive& archive, const at::Tensor& mel, std::int64_t samples) {
  STRATA_TRY(const at::Tensor wave,
             archive.run_one({mel.to(at::kFloat).t().unsqueeze(0).contiguous()}));
  if (wave.dim() != 2 || wave.size(0) != 1 || wave.size(1) != samples) {
    return fail(ErrorCode::kUnsupported,
                "the vocoder {} gave another number of samples for {} frames than {}",
                archive.info().name, mel.size(0), samples);
  }
  if (!wave.isfinite().all().item<bool>()) {
    return fail(ErrorCode::kInvalid, "the vocoder {} gave samples that are not finite",
                archive.info().name);
  }
  const at::Tensor flat = wave.contiguous();
  const float* data = flat.const_data_ptr<float>();
  return std::vector<float>(data, data + flat.numel());
}

Result<std::vector<float>> run(const GriffinLim& vocoder, const at::Tensor& mel) {
  const at::Tensor flat = mel.to(at::kFloat).contiguous();
  const float* data = flat.const_data_ptr<float>();
  return vocoder.speak({.bands = static_cast<int>(mel.size(1)),
                        .frames = mel.size(0),
                        .values = std::vector<float>(data, data + flat.numel())});
}

}  // namespace

VocoderChoice read_vocoder_choice(Fields& fields) {
  VocoderChoice choice{read_model_choice(fields)};
  if (fields.child("iterations") == nullptr) return choice;
  choice.iterations = fields.integer("iterations");
  fields.require(choice.name.starts_with(kGriffinLimPrefix), "iterations",
                 fmt::format("only the vocoders {}… have any", kGriffinLimPrefix));
  fields.require(*choice.iterations >= 1 && *choice.iterations <= kGriffinLimIterationsMax,
                 "iterations", fmt::format("expected 1 to {}", kGriffinLimIterationsMax));
  return choice;
}

Object griffin_lim_settings(MelKind kind) {
  const MelConfig mel = mel_config(kind);
  const GriffinLimOptions options;
  return {{"algorithm", "Griffin-Lim with momentum (Perraudin et al. 2013)"},
          {"magnitudes", "non-negative least squares, from least norm"},
          {"mel", name_of(kind)},
          {"sample_rate", mel.rate},
          {"bands", mel.bands},
          {"hop", mel.hop},
          {"iterations", options.iterations},
          {"momentum", fmt::format("{}", options.momentum)},
          {"phase", "uniform"},
          {"seed", static_cast<std::int64_t>(options.seed)}};
}

std::string griffin_lim_identity(MelKind kind) {
  return sha256_hex(to_canonical_json(Object{{"exporter_version", kGriffinLimVersion},
                                             {"settings", griffin_lim_settings(kind)},
                                             {"sources", Array{}}}));
}

Result<Vocoder> Vocoder::load(const std::filesystem::path& models, const VocoderChoice& choice) {
  if (choice.name.starts_with(kGriffinLimPrefix)) {
    STRATA_TRY(GriffinLim vocoder, built_in(choice));
    const MelConfig mel = vocoder.config();
    return Vocoder(std::move(vocoder), mel);
  }
  STRATA_TRY(const auto path, Archive::path_of(models, choice.name));
  STRATA_TRY(Archive archive,
             Archive::load(path, {.role = "vocoder", .identity = choice.identity}));
  STRATA_TRY(const MelConfig mel, front_end_of(archive));
  return Vocoder(std::move(archive), mel);
}

Result<std::vector<float>> Vocoder::speak(const at::Tensor& mel) {
  if (mel.dim() != 2 || mel.size(1) != mel_.bands || mel_.samples(mel.size(0)) < 1) {
    return fail(ErrorCode::kInvalid, "the vocoder needs a mel of {} bands and at least {} frame(s)",
                mel_.bands, mel_.samples(1) < 1 ? 2 : 1);
  }
  if (!mel.isfinite().all().item<bool>())
    return fail(ErrorCode::kInvalid, "the mel holds values that are not finite");
  Archive* archive = std::get_if<Archive>(&how_);
  STRATA_TRY(std::vector<float> samples, archive != nullptr
                                             ? run(*archive, mel, mel_.samples(mel.size(0)))
                                             : run(std::get<GriffinLim>(how_), mel));
  for (float& sample : samples) sample = std::clamp(sample, -1.0F, 1.0F);
  return samples;
}

}  // namespace strata::trainer

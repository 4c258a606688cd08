// From mel to sound: through an exported vocoder, or through Griffin-Lim, which needs no weights.
//
// Exported: role "vocoder", forward(mel (B, bands, T)) -> (B, samples).
//   vocoder-1  HiFi-GAN's front end; hop * T samples
//   vocoder-2  settings.mel names the front end (base/audio/mel.h) and sample_rate, bands and hop
//              repeat its numbers; as many samples as make T of its frames: hop * T, and
//              hop * (T - 1) for the centred frames of "vocos"
// Built in: the names griffin-lim-vocos, griffin-lim-bigvgan and griffin-lim-hifigan, which are in
// the catalogue like any model, with an identity but without a source or an archive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/audio/griffin_lim.h"
#include "base/audio/mel.h"
#include "base/result.h"
#include "base/torch/archive.h"
#include "base/torch/tensor.h"
#include "trainer/model_choice.h"

namespace strata::trainer {

// {"name", "identity", "iterations": of Griffin-Lim, where they are not the catalogue's}
struct VocoderChoice : ModelChoice {
  std::optional<std::int64_t> iterations{};
};
[[nodiscard]] VocoderChoice read_vocoder_choice(Fields& fields);

// What the catalogue says of the built-in vocoder of a front end: its identity is the hash of them.
[[nodiscard]] Object griffin_lim_settings(MelKind kind);
[[nodiscard]] std::string griffin_lim_identity(MelKind kind);

class Vocoder {
 public:
  // Finds the front end whose mel it was made for; an error where we have none like it, or the
  // vocoder is not the one chosen.
  [[nodiscard]] static Result<Vocoder> load(const std::filesystem::path& models,
                                            const VocoderChoice& choice);

  [[nodiscard]] const MelConfig& mel() const { return mel_; }
  // `mel` is (frames, bands), natural logarithm, not normalised. mel().samples(frames) samples at
  // mel().rate within [-1, 1]; an error where that is none.
  [[nodiscard]] Result<std::vector<float>> speak(const at::Tensor& mel);

 private:
  Vocoder(std::variant<Archive, GriffinLim> how, const MelConfig& mel)
      : how_(std::move(how)), mel_(mel) {}
  std::variant<Archive, GriffinLim> how_;
  MelConfig mel_;
};

}  // namespace strata::trainer

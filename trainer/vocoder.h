// From mel to sound, through an exported vocoder (interface vocoder-1: mel (B, bands, T) -> (B, hop
// * T)).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/audio/mel.h"
#include "base/result.h"
#include "base/torch/archive.h"
#include "base/torch/tensor.h"
#include "trainer/model_choice.h"

namespace strata::trainer {

class Vocoder {
 public:
  // Finds the front end whose mel it was trained on; an error where we have none like it, or the
  // archive is not the one chosen.
  [[nodiscard]] static Result<Vocoder> load(const std::filesystem::path& models,
                                            const ModelChoice& choice);

  [[nodiscard]] const MelConfig& mel() const { return mel_; }
  // `mel` is (frames, bands), natural logarithm, not normalised. hop * frames samples at mel().rate
  // within [-1, 1].
  [[nodiscard]] Result<std::vector<float>> speak(const at::Tensor& mel);

 private:
  Vocoder(Archive archive, const MelConfig& mel) : archive_(std::move(archive)), mel_(mel) {}
  Archive archive_;
  MelConfig mel_;
};

}  // namespace strata::trainer

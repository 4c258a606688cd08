// The alignment heads of A-DMA: which blocks they read, what they compare with, and how much each
// counts. Read from `parameters.align`; docs/models.md has the equations.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/value.h"

namespace strata::trainer {

inline constexpr std::size_t kTapsMax = 16;  // of text, and of speech

enum class SpeechLoss { kNegCosine, kNegLogSigmoid, kL1 };
// On which updates the alignment terms are left out: never (as in A-DMA), where the text is hidden
// from the model, or where the text or the condition is.
enum class SkipDropped { kNever, kText, kAny };

// A head on the output of block `layer`, counted from 1.
struct TextTap {
  std::int64_t layer = 0;
  double weight = 0.1;
};
struct SpeechTap {
  std::int64_t layer = 0;
  double weight = 1.0;
  SpeechLoss loss = SpeechLoss::kNegCosine;
};

struct AlignConfig {
  std::vector<TextTap> text{};
  std::vector<SpeechTap> speech{};
  std::int64_t speech_width = 1024;  // of the teacher's features
  std::int64_t hidden = 2048;        // inside of every head
  std::int64_t warmup = 0;           // updates over which the weights rise from 0
  SkipDropped skip_dropped = SkipDropped::kNever;

  [[nodiscard]] bool has_text() const { return !text.empty(); }
  [[nodiscard]] bool has_speech() const { return !speech.empty(); }
};

// {"text": {"layer", "weight", "more"}, "speech": {"layer", "weight", "loss", "width", "more"},
// "hidden", "warmup", "skip_dropped"}; null or absent: no heads, and layer 0 is none. "more" lists
// further taps, with the first one's weight and loss unless they say their own. `speech_width`
// stands in for an absent "width".
[[nodiscard]] Result<AlignConfig> read_align_config(const Value* value, const std::string& where,
                                                    std::int64_t depth,
                                                    std::optional<std::int64_t> speech_width = {});

// What the weights are multiplied with at this update, which counts from 0; 0: no head is computed.
[[nodiscard]] double align_factor(const AlignConfig& align, std::int64_t update, bool drop_text,
                                  bool drop_audio);

// flow + factor * (all taps' weight * term): the total loss, as numbers or as tensors.
template <class T>
[[nodiscard]] T total_loss(const AlignConfig& align, double factor, const T& flow,
                           const std::vector<T>& text, const std::vector<T>& speech) {
  T total = flow;
  for (std::size_t i = 0; i < text.size(); ++i)
    total = total + (factor * align.text[i].weight) * text[i];
  for (std::size_t i = 0; i < speech.size(); ++i)
    total = total + (factor * align.speech[i].weight) * speech[i];
  return total;
}

}  // namespace strata::trainer

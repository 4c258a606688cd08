// The held-out loss: flow matching inside a fixed middle span at fixed times with fixed noise, the
// same for every run, so that runs compare utterance by utterance. With permuted transcripts it
// tells how much the model uses the text.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "trainer/collective/communicator.h"
#include "trainer/data/batch.h"
#include "trainer/models/acoustic_model.h"

namespace strata::trainer {

inline constexpr double kValidationSpan = 0.7;  // the middle part of the frames that is filled in
inline constexpr std::array<double, 4> kValidationTimes{0.15, 0.4, 0.65, 0.9};
// Of no run: the noise depends on the utterance's id alone.
inline constexpr std::uint64_t kValidationSeed = 0;

struct HeldOutLoss {
  std::string id{};
  double loss = 0;
  double permuted = 0;  // with the transcript of another utterance
};

// The utterance whose transcript stands in for that of `index`: half the list further on, never
// itself. REQUIRES: count >= 2.
[[nodiscard]] std::size_t permuted_partner(std::size_t index, std::size_t count);

// Every utterance alone (no padding), its mean over times and elements. Ranks share the work; all
// get all results. `stop_requested` is asked before every utterance: one rank's yes leaves all
// ranks with an empty list. `source`: of utterances that are not whole.
[[nodiscard]] Result<std::vector<HeldOutLoss>> validate(
    AcousticModel& model, const std::vector<Utterance>& heldout, Communicator& communicator,
    const std::function<bool()>& stop_requested = {}, const UtteranceSource* source = nullptr);

// Whether every loss is a number, the permuted ones too.
[[nodiscard]] bool all_finite(const std::vector<HeldOutLoss>& losses);

// The mean loss and the mean text use (permuted - loss).
[[nodiscard]] double mean_loss(const std::vector<HeldOutLoss>& losses);
[[nodiscard]] double mean_text_use(const std::vector<HeldOutLoss>& losses);

}  // namespace strata::trainer

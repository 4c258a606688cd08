// The stage `copy`: what synthesized speech is compared with. It depends on no training run, so a
// corpus needs it once. Input "corpus", output "audio" (audio_output.h) with the sets
//   recordings      the held-out recordings themselves
//   vocoder_copies  the same through mel and vocoder: what a perfect model could sound like
//   other_speaker   for each item a clip of somebody else, without a text: where similarity begins
//   parameters = {"copy": {"items": 24 or null for all, "other_speakers": true}, "vocoder":
//   {"name", "identity"}}      (vocoder.h)
#pragma once

#include "base/result.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {

// The value is the exit code: 0, or 4 when asked to stop.
[[nodiscard]] Result<int> run_copy(const StageSpec& spec);

}  // namespace strata::trainer

// The stage `synthesize`: a trained model speaks the held-out texts in the voice of their prompts.
// Inputs "corpus" and "weights" (a folder that `train` wrote), output "audio" (audio_output.h) with
// the set "generated"; resumable.
//   parameters = {"sampling": {"solver": "euler" | "midpoint", "steps": 16, "sway": -1 or null,
//   "cfg": 2,
//                              "duration": "true" | "rule", "items": 24 or null for all},
//                 "vocoder": {"name", "identity"}}
// "true" gives the new speech the length of the real recording, "rule" the prompt's frames for each
// byte of text (grid.h). Each utterance is sampled alone, from noise of its own seed: what it
// sounds like depends on no other one.
#pragma once

#include "base/result.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {

// The value is the exit code: 0, or 4 when asked to stop.
[[nodiscard]] Result<int> run_synthesize(const StageSpec& spec);

}  // namespace strata::trainer

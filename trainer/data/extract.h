// The stage `extract`: what a speech teacher hears in every training and held-out recording, as a
// folder of features (features.h). Input "corpus", output "features", resumable.
//   parameters.teacher = {"model": {"name", "identity"}, "layer": 4, "dtype": "fp16" | "fp32"}
// A recording longer than the teacher's window is cut into windows whose features are joined; of
// the last window only the frames that lie on speech are kept: ceil(samples * frames per second /
// rate) in all.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {

// Frames of a recording of `samples` at `rate`.
[[nodiscard]] std::int64_t teacher_frames(std::int64_t samples, std::int64_t rate,
                                          std::int64_t frames_per_second);

// The value is the exit code: 0, or 4 when asked to stop.
[[nodiscard]] Result<int> run_extract(const StageSpec& spec);

}  // namespace strata::trainer

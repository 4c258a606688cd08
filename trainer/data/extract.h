// The stage `extract`: what a speech teacher (teacher.h) hears in every training and held-out
// recording, as a folder of features (features.h). Input "corpus", output "features", resumable.
//
// A map over items: rank r of n takes every n-th of them, and what is finished is a file under the
// hash of its recording, so that an interrupted stage, or one of another corpus with the same
// recordings, goes on from what is there. A recording that the teacher cannot take is an error, or,
// within `rejects_max`, a line of rejects.jsonl. In the end rank r writes every n-th shard and rank
// 0 the lists. The bytes do not depend on the number of ranks, nor on interruptions.
//
// Beside the output: progress with "items_per_second", "audio_seconds_per_second", "eta_seconds"
// and "rejected"; recorded.json with the speed of the whole stage.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "trainer/collective/communicator.h"
#include "trainer/data/features.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {

// One rank's part. The value is the exit code: 0, or 4 when asked to stop.
[[nodiscard]] Result<int> extract_as_rank(const StageSpec& spec, Communicator& ranks,
                                          std::int64_t shard_bytes = kFeatureShardBytes);

// As the rank that this process is.
[[nodiscard]] Result<int> run_extract(const StageSpec& spec);

}  // namespace strata::trainer

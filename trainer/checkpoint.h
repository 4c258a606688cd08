// A checkpoint folder: everything from which training resumes exactly.
//
//   state.safetensors
//       "model.*", "moment1.*", "moment2.*", "average.*", and "early.*" once the early weights
//       were taken
//
//   checkpoint.json
//       {"format": 2, "update", "average_calls", "recipe", "early": [lines], "sha256" of
//       state.safetensors, "own_sha256" of this map's canonical text without itself}
//       (format 1, still read: without "own_sha256")
// Random numbers need no state: they are a function of (seed, update, utterance).
#pragma once

#include <filesystem>

#include "base/value.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {

inline constexpr std::int64_t kCheckpointFormat = 2;

struct TrainingState {
  std::int64_t update = 0;  // updates done
  std::int64_t average_calls = 0;
  NamedTensors tensors{};
  Array early{};  // validation lines of the early weights
};

// `recipe` is what the state depends on (parameters and seed). The folder appears complete or not
// at all.
[[nodiscard]] Status save_checkpoint(const std::filesystem::path& folder, const Value& recipe,
                                     const TrainingState& state);

// kDamaged when the bytes are not those written, kInvalid when the checkpoint belongs to another
// recipe.
[[nodiscard]] Result<TrainingState> load_checkpoint(const std::filesystem::path& folder,
                                                    const Value& recipe);

}  // namespace strata::trainer

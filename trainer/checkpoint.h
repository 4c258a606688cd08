// A checkpoint folder: everything from which training resumes exactly.
//
//   state.safetensors
//       the tensors of a TrainingState (training_state.h)
//
//   checkpoint.json
//       {"format": 3, "update", "average_calls", "recipe", "early": [lines], "describes": what the
//       weights need for inference (trained_model.h), "metrics": measured at this very update,
//       "validation_due",
//       "sha256" of state.safetensors, "own_sha256" of this map's canonical text without itself}
//       (still read: format 2, without "describes", "metrics", "validation_due"; format 1, also
//       without "own_sha256")
//
// Beside it, while it is written or replaced, and after a kill:
//
//   .writing-NAME    not finished; never read
//   .replaced-NAME   the one before of the same name, whole; stands in for NAME where that is gone
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/value.h"
#include "trainer/training_state.h"

namespace strata::trainer {

inline constexpr std::int64_t kCheckpointFormat = 3;
inline constexpr std::string_view kWritingPrefix = ".writing-";
inline constexpr std::string_view kReplacedPrefix = ".replaced-";

// What a checkpoint says beside the state.
struct CheckpointNotes {
  Value describes{};                        // null: nobody told
  std::map<std::string, double> metrics{};  // measured at this very update
};

// `recipe` is what the state depends on (checkpoint_recipe.h). At every moment, also one at which
// the process is killed, the folder or what stands in for it is whole: the old one or the new one.
[[nodiscard]] Status save_checkpoint(const std::filesystem::path& folder, const Value& recipe,
                                     const TrainingState& state, const CheckpointNotes& notes = {});

// checkpoint.json, checked against its own hash; the tensors are not looked at.
struct CheckpointDescription {
  std::int64_t update = 0;
  std::int64_t average_calls = 0;
  Value recipe{};
  Array early{};
  bool validation_due = false;
  CheckpointNotes notes{};
  std::string sha256{};  // of the tensors
};
[[nodiscard]] Result<CheckpointDescription> describe_checkpoint(
    const std::filesystem::path& folder);

// kInvalid when the checkpoint belongs to another recipe; the message names the first difference.
[[nodiscard]] Status check_recipe(const std::filesystem::path& folder, const Value& recipe,
                                  const CheckpointDescription& description);

// kDamaged when the bytes are not those written, kInvalid when the checkpoint belongs to another
// recipe.
[[nodiscard]] Result<TrainingState> load_checkpoint(const std::filesystem::path& folder,
                                                    const Value& recipe);
// Of any recipe.
[[nodiscard]] Result<TrainingState> load_checkpoint(const std::filesystem::path& folder,
                                                    const CheckpointDescription& description);

}  // namespace strata::trainer

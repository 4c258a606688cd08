// From which checkpoint a gang of ranks goes on: one answer for all of them.
#pragma once

#include <filesystem>
#include <optional>

#include "trainer/checkpoint_folder.h"
#include "trainer/collective/communicator.h"

namespace strata::trainer {

// Of a run, in its attempt folder.
inline constexpr const char* kCheckpoints = "checkpoints";

// Rank 0 chooses (checkpoint_folder.h) and tells the others, which load the very same bytes or
// fail. Nothing: `from` is the run's own folder of checkpoints, and none is there yet. To be called
// by every rank; a rank that gets an error must end the others.
[[nodiscard]] Result<std::optional<ChosenCheckpoint>> choose_together(
    const std::filesystem::path& from, const Value& recipe, Communicator& communicator);

// One that starts at the beginning says so where it leaves checkpoints behind: they were not asked
// for, and it will replace them.
void warn_of_unused_checkpoints();

}  // namespace strata::trainer

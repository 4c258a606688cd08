// Which processes belong to an attempt, and ending them for certain, where its guard cannot.
//
// Every process of an attempt has its folder in its environment, as its guard has the folder of all
// attempts; and whoever clears its environment is below one that has not, as long as the guard
// lives. The folder is this worker's alone (its lock), so nobody else's processes are taken for
// them, whatever became of their numbers.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <vector>

#include "base/result.h"

namespace strata::worker {

inline constexpr const char* kAttemptFolderVariable = "STRATA_ATTEMPT_FOLDER";

// Those that carry `folder` or one directly below it, and all below them; sorted.
[[nodiscard]] std::vector<pid_t> processes_in(const std::filesystem::path& folder);

// `pid` and all below it; sorted.
[[nodiscard]] std::vector<pid_t> processes_from(pid_t pid);

// SIGKILL to processes_in(folder) until there is none; how many there were. An error names
// those that would not end within `patience`.
[[nodiscard]] Result<std::size_t> end_processes_in(const std::filesystem::path& folder,
                                                   std::chrono::milliseconds patience);

// Children of `parent` that are alive or not yet collected; sorted.
[[nodiscard]] std::vector<pid_t> children_of(pid_t parent);

}  // namespace strata::worker

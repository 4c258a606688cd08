// Sessions of attempts: who belongs to one, whether a recorded one is still the same, and ending it
// for certain.
//
// A pid can be used again, so a session is recorded with the start time of its leader and the id of
// the boot.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace strata::worker {

struct SessionRecord {
  pid_t session = 0;          // of the guard, which leads it
  std::uint64_t started = 0;  // clock ticks since boot, field 22 of /proc/PID/stat
  std::string boot{};         // /proc/sys/kernel/random/boot_id
  std::string attempt{};      // what its processes have in STRATA_ATTEMPT
  std::string scratch{};      // a folder in memory that goes with it; empty: none
  std::string folder{};       // what its processes have in STRATA_ATTEMPT_FOLDER; empty: nothing
};
// Names an attempt of one worker, where its number and its task may be those of another cluster's.
inline constexpr const char* kAttemptFolderVariable = "STRATA_ATTEMPT_FOLDER";

// The record of a session whose leader lives now.
[[nodiscard]] Result<SessionRecord> record_of(pid_t leader);
[[nodiscard]] Status write_record(const std::filesystem::path& file, const SessionRecord& record);
[[nodiscard]] Result<SessionRecord> read_record(const std::filesystem::path& file);

// Processes that certainly belong to the recorded session: those of its number while the leader is
// the recorded one, or that carry the attempt's name in their environment where it is gone; and in
// whatever session, those that carry the attempt's folder. Nothing after a reboot.
[[nodiscard]] std::vector<pid_t> members_of(const SessionRecord& record);

// SIGKILL to all of them until none is left. An error names those that would not end within
// `patience`.
[[nodiscard]] Status end_session(const SessionRecord& record, std::chrono::milliseconds patience);

// Children of `parent` that are alive or not yet collected.
[[nodiscard]] std::vector<pid_t> children_of(pid_t parent);

}  // namespace strata::worker

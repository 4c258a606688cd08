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
};

// The record of a session whose leader lives now.
[[nodiscard]] Result<SessionRecord> record_of(pid_t leader);
[[nodiscard]] Status write_record(const std::filesystem::path& file, const SessionRecord& record);
[[nodiscard]] Result<SessionRecord> read_record(const std::filesystem::path& file);

// Processes of the recorded session that certainly belong to it: the leader must be the recorded
// one; where the leader is gone, a process must carry the attempt's name in its environment.
// Nothing after a reboot.
[[nodiscard]] std::vector<pid_t> members_of(const SessionRecord& record);

// SIGKILL to all of them until none is left. An error names those that would not end within
// `patience`.
[[nodiscard]] Status end_session(const SessionRecord& record, std::chrono::milliseconds patience);

// Children of `parent` that are alive or not yet collected.
[[nodiscard]] std::vector<pid_t> children_of(pid_t parent);

}  // namespace strata::worker

// What a worker and its guards say to each other (guard_main.cc). Both are of the same build and on
// the same machine, so numbers travel as they lie in memory.
//
// To the guard, over a stream socket of its own; its end is the worker's end:
//   kGuardStart, 4 bytes of length, that many bytes   start a program: texts, each with a NUL
//                behind it: "spare-child" or "", folder, log file, the number of arguments, the
//                arguments, and then entries "NAME=value" of the environment. Only while idle.
//   kGuardStop   ask politely     kGuardKill   end it. Both mean nothing to an idle guard.
// From the guards, over one pipe for all of them: a GuardAnswer when nothing of an attempt is left.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace strata::worker {

inline constexpr char kGuardStart = 'S';
inline constexpr char kGuardStop = 'T';
inline constexpr char kGuardKill = 'K';
inline constexpr const char* kGuardSpareChild = "spare-child";
// The kernel takes less for a command and its environment.
inline constexpr std::uint32_t kGuardStartBytesMax = 8U << 20U;

struct GuardAnswer {
  pid_t guard = 0;
  std::int32_t code = 0;    // of the program; 0 when a signal ended it
  std::int32_t signal = 0;  // or 0
};
static_assert(sizeof(GuardAnswer) <= 512, "so small a write to a pipe is whole");

}  // namespace strata::worker

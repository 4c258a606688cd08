// Rules that the simulator breaks, one at a time, to see that its checkers find it
// (strata-simulate --break NAME). The cores are compiled a second time for the simulator with
// STRATA_BREAKABLE; in the product STRATA_BROKEN(rule) is the constant false, and nothing of this
// is there.
//
// A hook stands where the rule stands and takes away that rule only.
#pragma once

#include <cstdint>

#ifdef STRATA_BREAKABLE

namespace strata::coordinator {

enum class Break : std::uint8_t {
  kNone,
  kNoFencing,             // a report counts whatever its attempt
  kActBeforeCommit,       // the shell's: effects are performed before their events are committed
  kDoubleGrant,           // a task whose gang is out stays among those that wait for slots
  kSlotDoubleFree,        // the end of an attempt gives its slots back twice
  kPartialGang,           // a gang takes what is free where not all is
  kIgnoreRankLoss,        // mpirun's: the other ranks go on when one is lost
  kDuplicateCreate,       // what is submitted again is created again
  kDropDeletesResult,     // a line dropped from the file takes its result with it
  kConsumeBeforeCommit,   // a task waits for no input
  kChargeInfraToUser,     // what the infrastructure did is counted as the task's failure
  kEndlessInfraRetries,   // failures of the infrastructure never end a task
  kClockInReplay,         // applying an event asks what time it is
  kAcceptTornTail,        // the disk's: recovery believes whatever it finds behind the last commit
  kTerminalReopens,       // what its producer does puts an ended task back into the queue
  kUnboundedOutbox,       // what a peer does not take is kept whatever it is
  kMetricsAfterRollback,  // points of a branch that a resume left behind stay in the series
  kCancelSharedTask,      // one sweep's cancel ends the task for all
};

inline constexpr bool kBreakable = true;
inline thread_local Break broken = Break::kNone;
// What a rule would read if it asked the machine what time it is.
inline thread_local std::int64_t machine_clock_ms = 0;

}  // namespace strata::coordinator

#define STRATA_BROKEN(rule) (::strata::coordinator::broken == ::strata::coordinator::Break::rule)

#else

namespace strata::coordinator {
inline constexpr bool kBreakable = false;
inline constexpr std::int64_t machine_clock_ms = 0;
}  // namespace strata::coordinator

#define STRATA_BROKEN(rule) false

#endif

// Which metric points count: whose are taken, which of a batch are stored and when, and which of a
// task's belong to its living branch. Pure, so that the simulator runs the same rules as the store.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "coordinator/core/cluster.h"
#include "schema/message.h"

namespace strata::coordinator {

// Points of this attempt are still taken. The last ones may come after the report of its end; one
// that was lost or stopped is over for good.
[[nodiscard]] bool points_count(const Cluster& cluster, const AttemptId& attempt);

// Of one point: no line of a progress file holds more.
inline constexpr std::size_t kMetricNameBytesMax = 64U << 10U;
// The least of what SQLite, JSON and a double hold exactly.
inline constexpr std::uint64_t kSequenceMax = 1ULL << 53U;

// What a program could have said: what is stored is read by others, and has bounds. `batch` is of
// unknown origin.
[[nodiscard]] bool is_well_formed(const MetricBatch& batch);

// A gap in an attempt's sequence is either a batch that another one has overtaken, or points that
// were acknowledged and then lost with a disk, which nobody has any more. The first is filled when
// its sender repeats it (at the latest every 2 s, worker/attempts.h); so long what came ahead of it
// waits, not acknowledged.
inline constexpr std::chrono::milliseconds kGapPatience{5'000};
// Points that wait for others to come before them, of all series together.
inline constexpr std::size_t kPointsAheadMax = 50'000;

// The points of one attempt on their way into the store, which holds them without a gap but for
// those that were lost: each one once, whatever is repeated and in whatever order it comes.
// What waits here is not acknowledged, so it may be forgotten at any time.
class SeriesIntake {
 public:
  // Points up to the sequence `stored` are stored.
  explicit SeriesIntake(std::uint64_t stored) : stored_(stored) {}

  // What is to be stored now, ascending: new points of `batch`, and what waited for them. Valid
  // until the next call, as long as `batch` is. At most `room` points may wait beyond those that
  // wait already; others are dropped, and come again.
  [[nodiscard]] std::vector<const MetricPoint*> take(const MetricBatch& batch, WallTime at,
                                                     std::size_t room = kPointsAheadMax);

  // The newest point given out; all before it are stored or lost for good.
  [[nodiscard]] std::uint64_t stored() const { return stored_; }
  [[nodiscard]] std::size_t waiting() const { return ahead_.size(); }
  // Nobody has sent any of it for so long that nobody will: its attempt is over, for instance.
  [[nodiscard]] bool is_abandoned(WallTime at) const;

 private:
  void drain(std::vector<const MetricPoint*>& out);

  std::uint64_t stored_ = 0;
  std::map<std::uint64_t, MetricPoint> ahead_;
  std::deque<MetricPoint> released_;  // what take() points to
  std::optional<WallTime> gap_since_;
};

// One attempt of a task, and the step of the checkpoint from which it began (nothing: from the
// start).
struct BranchAttempt {
  std::int64_t attempt = 0;
  std::optional<std::int64_t> resume_step{};
};
// The points of `attempt` with steps up to `last_step` (nothing: all) belong to the task's living
// branch.
struct BranchPart {
  std::int64_t attempt = 0;
  std::optional<std::int64_t> last_step{};
  bool operator==(const BranchPart&) const = default;
};
// `attempts` ascending, gaps allowed; the last one is the living one. The answer is ascending, too:
// an attempt that resumed from step s keeps the points of earlier ones up to s and drops what they
// did after it.
[[nodiscard]] std::vector<BranchPart> living_branch(std::span<const BranchAttempt> attempts);

}  // namespace strata::coordinator

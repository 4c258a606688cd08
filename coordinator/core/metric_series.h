// Which metric points count: whose are taken, which of a batch are new, and which of a task's
// belong to its living branch. Pure, so that the simulator runs the same rules as the store.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "coordinator/core/cluster.h"
#include "schema/message.h"

namespace strata::coordinator {

// Points of this attempt are still taken. The last ones may come after the report of its end; one
// that was lost or stopped is over for good.
[[nodiscard]] bool points_count(const Cluster& cluster, const AttemptId& attempt);

// The points of `batch` that are not stored yet, where those up to the sequence `stored` are. A gap
// means that acknowledged points were lost with a disk: nobody has them any more.
[[nodiscard]] std::vector<const MetricPoint*> fresh_points(const MetricBatch& batch,
                                                           std::uint64_t stored);

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

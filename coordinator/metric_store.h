// Metric points, beside the event log and in a file of their own (synchronous=FULL: what was
// acknowledged survives a power cut, because the worker has forgotten it).
//
// A point is stored once, whatever is repeated. A worker sends an attempt's points in order, from
// the oldest that is not acknowledged, so a gap means that acknowledged points were lost with a
// disk: nobody has them any more, and what follows is stored. Nothing is deleted when a task goes
// back to a checkpoint: which points belong to the living branch is decided at reading. Thread
// rule: one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "schema/message.h"

namespace strata::coordinator {

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

// What was written last and is not there any more: the file counts its transactions (user_version),
// and the file "-tip" beside it (store_tip.h) says how many there were. Empty: nothing.
[[nodiscard]] Result<std::string> torn_points(const std::filesystem::path& file);

class MetricStore {
 public:
  // kDamaged: as open_store(), or torn_points().
  static Result<MetricStore> open(const std::filesystem::path& file);
  ~MetricStore();
  MetricStore(MetricStore&&) noexcept;
  MetricStore& operator=(MetricStore&&) noexcept;

  // One transaction. For each batch, in order: up to which sequence its attempt's points are stored
  // now. The caller has refused stale attempts before.
  [[nodiscard]] Result<std::vector<std::uint64_t>> store(std::span<const MetricBatch> batches,
                                                         WallTime at);

  // The last value of `metric` at a step up to `step`, on these parts of the task's series; the
  // first one where several points have that step. Nothing while later points may still change it:
  // until there is one of a later step, or one with the metric at this very step. NaN: the points
  // have come so far, and none has a number of that name.
  [[nodiscard]] Result<std::optional<double>> value_at(const TaskKey& task,
                                                       std::span<const BranchPart> parts,
                                                       const std::string& metric,
                                                       std::int64_t step);

  [[nodiscard]] std::uint64_t points_stored() const;  // since it was opened

 private:
  struct State;
  explicit MetricStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace strata::coordinator

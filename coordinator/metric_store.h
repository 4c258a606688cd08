// Metric points, beside the event log and in a file of their own (synchronous=NORMAL: a power cut
// may take the newest, and the worker still has what was not acknowledged).
//
// A point is stored once, whatever is repeated. Points of an attempt arrive in order of their
// sequence without gaps: what comes after a gap is not stored, so the cumulative acknowledgement
// never covers a point that is not here. Nothing is deleted when a task goes back to a checkpoint:
// which points belong to the living branch is decided at reading. Thread rule: one thread.
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

class MetricStore {
 public:
  static Result<MetricStore> open(const std::filesystem::path& file);
  ~MetricStore();
  MetricStore(MetricStore&&) noexcept;
  MetricStore& operator=(MetricStore&&) noexcept;

  // One transaction. For each batch, in order: up to which sequence its attempt's points are stored
  // now. The caller has refused stale attempts before.
  [[nodiscard]] Result<std::vector<std::uint64_t>> store(std::span<const MetricBatch> batches,
                                                         WallTime at);

  [[nodiscard]] std::uint64_t points_stored() const;  // since it was opened

 private:
  struct State;
  explicit MetricStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace strata::coordinator

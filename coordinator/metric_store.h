// Metric points, beside the event log and in a file of their own (synchronous=FULL: what was
// acknowledged survives a power cut, because the worker has forgotten it).
//
// A point is stored once, by attempt and sequence, whatever is repeated; what comes before its turn
// waits in memory, not acknowledged (SeriesIntake), so the stored points of an attempt only ever
// grow at their end, and readers may rely on that. Nothing is deleted when a task goes back to a
// checkpoint: which points belong to the living branch is decided at reading. Thread rule: one
// thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "coordinator/core/metric_series.h"
#include "schema/message.h"

namespace strata::coordinator {

// What was written last and is not there any more: the file counts its transactions (user_version),
// and the file "-tip" beside it (store_tip.h) says how many there were. Empty: nothing.
[[nodiscard]] Result<std::string> torn_points(const std::filesystem::path& file);

// Attempts that are remembered between batches, so that their rows need not be asked for again.
inline constexpr std::size_t kSeriesRememberedMax = 4'096;

struct StoredBatch {
  // All points of the attempt up to this sequence are stored, or were lost for good.
  std::uint64_t up_to = 0;
  // The last one that was stored because this batch came; nothing when all are repeats or wait.
  std::optional<MetricPoint> newest{};
};

class MetricStore {
 public:
  // kDamaged: as open_store(), or torn_points().
  static Result<MetricStore> open(const std::filesystem::path& file);
  ~MetricStore();
  MetricStore(MetricStore&&) noexcept;
  MetricStore& operator=(MetricStore&&) noexcept;

  // One transaction, and none where nothing is new. For each batch, in order, what is stored now.
  // The caller has refused stale attempts before.
  [[nodiscard]] Result<std::vector<StoredBatch>> store(std::span<const MetricBatch> batches,
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
  [[nodiscard]] std::size_t points_waiting() const;   // for those before them

 private:
  struct State;
  explicit MetricStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace strata::coordinator

// What the table of tasks says, taken from the cluster: small values that the thread which writes
// tables may keep when the cluster has moved on. No I/O.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/core/cluster.h"

namespace strata::coordinator {

struct TaskRow {
  TaskKey key{};
  const char* state = "";  // name_of()
  std::string reason{};
  bool outdated = false;
  std::uint32_t attempts = 0;
  std::optional<std::uint32_t> succeeded_attempt{};
  std::int64_t user_failures = 0;
  std::int64_t infra_failures = 0;
  std::string last_failure{};
  std::optional<std::int64_t> checkpoint_step{};
  std::shared_ptr<const TaskSpec> spec{};  // null: as it was written before
};

// Of the touched tasks, in the order of their keys.
[[nodiscard]] std::vector<TaskRow> rows_of(const Touched& touched, const Cluster& cluster);

}  // namespace strata::coordinator

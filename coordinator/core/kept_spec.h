// A task's spec as the cluster keeps it for very many of them. What the tasks of a stage mostly
// have in common (program, resources, limits) is kept once, and parameters are kept as text: only
// who begins the task, or is told of it again, reads them. A value, and never changed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "schema/task.h"

namespace strata::coordinator {

class KeptSpec {
 public:
  // A spec without what a task has of its own. May be null.
  using Common = std::shared_ptr<const TaskSpec>;

  KeptSpec() = default;  // of no task
  // Shares `latest`, where the rest of `spec` is that; else makes it anew.
  KeptSpec(TaskSpec spec, Common& latest);

  [[nodiscard]] const TaskKey& key() const { return key_; }
  [[nodiscard]] const std::vector<TaskInput>& inputs() const { return inputs_; }
  [[nodiscard]] const std::string& stage() const { return common_->stage; }
  [[nodiscard]] const std::vector<std::string>& outputs() const { return common_->outputs; }
  [[nodiscard]] const Resources& resources() const { return common_->resources; }
  [[nodiscard]] const std::vector<Resources>& fallbacks() const { return common_->fallbacks; }
  [[nodiscard]] const RetryPolicy& retry() const { return common_->retry; }
  [[nodiscard]] std::int64_t lease_ms() const { return common_->lease_ms; }
  [[nodiscard]] std::int64_t grace_ms() const { return common_->grace_ms; }
  [[nodiscard]] bool resumable() const { return common_->resumable; }
  [[nodiscard]] bool scoring() const { return common_->scoring; }

  [[nodiscard]] TaskSpec whole() const;

 private:
  Common common_{};
  TaskKey key_{};
  std::vector<TaskInput> inputs_{};
  std::string text_{};  // canonical JSON of the parameters, a line break, that of the neutral ones
  std::optional<std::uint64_t> seed_{};
  double flops_ = 0;
};

}  // namespace strata::coordinator

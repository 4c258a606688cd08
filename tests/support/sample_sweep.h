// Small submissions for tests of the cores: stages with real keys, in the order producers before
// consumers.
#pragma once

#include <string>
#include <vector>

#include "base/assert.h"
#include "schema/message.h"
#include "schema/task.h"

namespace strata::testing {

// A task with its key computed. `salt` tells otherwise equal tasks apart.
inline TaskSpec make_task(const std::string& stage, std::int64_t salt,
                          std::vector<TaskSpec> producers = {}, std::int64_t slots = 1) {
  TaskSpec spec{.stage = stage,
                .program = {.name = stage, .argv = {"run-" + stage}},
                .parameters = Value(Object{{"salt", salt}})};
  for (const TaskSpec& producer : producers) {
    STRATA_ASSERT(!producer.outputs.empty());
    spec.inputs.push_back({.name = "from_" + producer.stage,
                           .producer = producer.key,
                           .output = producer.outputs.front()});
  }
  spec.outputs = {"result"};
  spec.resources.slots = slots;
  spec.resumable = stage == "train";
  spec.key = compute_key(spec);
  return spec;
}

inline RunSpec make_run(const std::string& cell, std::uint64_t seed,
                        const std::vector<TaskSpec>& tasks) {
  RunSpec run{.cell = cell, .seed = seed};
  for (const TaskSpec& task : tasks) run.tasks.emplace(task.stage, task.key);
  run.key = compute_key(run);
  return run;
}

inline SubmitTasks make_submission(const std::string& sweep, std::vector<TaskSpec> tasks,
                                   std::vector<RunSpec> runs = {}) {
  return {.id = 1,
          .sweep = sweep,
          .definition = "{}",
          .first = true,
          .last = true,
          .tasks = std::move(tasks),
          .runs = std::move(runs)};
}

inline ArtifactRef make_artifact(const std::string& content) {
  return ref_of({{"",
                  {.bytes = static_cast<std::int64_t>(content.size()),
                   .sha256 = content_hash_of(content).hex()}}});
}

}  // namespace strata::testing

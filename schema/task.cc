#include "schema/task.h"

#include "base/json.h"

namespace strata {

std::string key_material(const TaskSpec& spec) {
  Object inputs;
  for (const TaskInput& input : spec.inputs) {
    inputs.emplace(input.name, Array{Value(input.producer.hex()), Value(input.output)});
  }
  Object key{{"key_version", kKeyVersion},
             {"program", spec.program.name},
             {"result_version", spec.program.result_version},
             {"parameters", spec.parameters},
             {"inputs", std::move(inputs)}};
  if (spec.seed) key.emplace("seed", *spec.seed);
  return to_canonical_json(key);
}

TaskKey compute_key(const TaskSpec& spec) { return task_key_of(key_material(spec)); }

RunKey compute_key(const RunSpec& spec) {
  Object tasks;
  for (const auto& [stage, key] : spec.tasks) tasks.emplace(stage, key.hex());
  return run_key_of(to_canonical_json(Object{{"key_version", kKeyVersion}, {"tasks", std::move(tasks)}}));
}

}  // namespace strata

#include "schema/task.h"

#include "base/json.h"

namespace strata {
namespace {

// Also removes the maps that this leaves empty: before the parameter was added they were not there either.
void drop(Value& value, std::string_view path) {
  Object* object = value.if_object();
  if (object == nullptr) return;
  const std::size_t dot = path.find('.');
  const auto it = object->find(path.substr(0, dot));
  if (it == object->end()) return;
  if (dot != std::string_view::npos) {
    drop(it->second, path.substr(dot + 1));
    const Object* rest = it->second.if_object();
    if (rest == nullptr || !rest->empty()) return;
  }
  object->erase(it);
}

}  // namespace

std::string key_material(const TaskSpec& spec) {
  Object inputs;
  for (const TaskInput& input : spec.inputs) {
    inputs.emplace(input.name, Array{Value(input.producer.hex()), Value(input.output)});
  }
  Value parameters = spec.parameters;
  for (const std::string& name : spec.neutral) drop(parameters, name);
  Object key{{"key_version", kKeyVersion},
             {"program", spec.program.name},
             {"result_version", spec.program.result_version},
             {"parameters", std::move(parameters)},
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

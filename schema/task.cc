#include "schema/task.h"

#include "base/json.h"

namespace strata {
namespace {

// Canonical JSON put together by hand, in the order of the sorted keys: tests/golden/schema keeps
// it honest.
std::string material(const TaskSpec& spec, std::string_view key_parameters) {
  Object inputs;
  for (const TaskInput& input : spec.inputs) {
    inputs.emplace(input.name, Array{Value(input.producer.hex()), Value(input.output)});
  }
  std::string text = fmt::format(
      R"({{"inputs":{},"key_version":{},"parameters":{},"program":{},"result_version":{})",
      to_canonical_json(inputs), kKeyVersion, key_parameters, to_canonical_json(spec.program.name),
      spec.program.result_version);
  if (spec.seed) text += fmt::format(R"(,"seed":{})", *spec.seed);
  if (!spec.versions_in_key.empty()) {
    Object versions;
    for (const std::string& name : spec.versions_in_key) {
      const auto it = spec.versions.find(name);
      versions.emplace(name, it != spec.versions.end() ? Value(it->second) : Value());
    }
    text += fmt::format(R"(,"versions":{})", to_canonical_json(versions));
  }
  return text + '}';
}

}  // namespace

std::string canonical_key_parameters(const TaskSpec& spec) {
  if (spec.neutral.empty()) return to_canonical_json(spec.parameters);
  Value parameters = spec.parameters;
  for (const std::string& name : spec.neutral) parameters.unset(name);
  return to_canonical_json(parameters);
}

std::string key_material(const TaskSpec& spec) {
  return material(spec, canonical_key_parameters(spec));
}

TaskKey compute_key(const TaskSpec& spec) { return task_key_of(key_material(spec)); }

TaskKey compute_key(const TaskSpec& spec, std::string_view key_parameters) {
  return task_key_of(material(spec, key_parameters));
}

RunKey compute_key(const RunSpec& spec) {
  Object tasks;
  for (const auto& [stage, key] : spec.tasks) tasks.emplace(stage, key.hex());
  return run_key_of(
      to_canonical_json(Object{{"key_version", kKeyVersion}, {"tasks", std::move(tasks)}}));
}

}  // namespace strata

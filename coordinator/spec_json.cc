#include "coordinator/spec_json.h"

namespace strata::coordinator {

Value texts_value(const std::vector<std::string>& texts) {
  Array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

Value to_value(const Resources& resources) {
  return Object{{"slots", resources.slots},         {"ranks", resources.ranks},
                {"threads", resources.threads},     {"labels", texts_value(resources.labels)},
                {"memory_mb", resources.memory_mb}, {"expected_ms", resources.expected_ms}};
}

Value to_value(const TaskSpec& spec) {
  Array inputs;
  for (const TaskInput& input : spec.inputs) {
    inputs.emplace_back(
        Object{{"name", input.name}, {"producer", input.producer.hex()}, {"output", input.output}});
  }
  Array fallbacks;
  for (const Resources& shape : spec.fallbacks) fallbacks.emplace_back(to_value(shape));
  Array rules;
  for (const LogRule& rule : spec.log_rules) {
    rules.emplace_back(Object{{"name", rule.name},
                              {"pattern", rule.pattern},
                              {"class", name_of(rule.cause)},
                              {"action", name_of(rule.action)}});
  }
  Object versions;
  for (const auto& [name, version] : spec.versions) versions.emplace(name, version);
  return Object{{"key", spec.key.hex()},
                {"stage", spec.stage},
                {"program", Object{{"name", spec.program.name},
                                   {"argv", texts_value(spec.program.argv)},
                                   {"result_version", spec.program.result_version}}},
                {"parameters", spec.parameters},
                {"seed", spec.seed ? Value(*spec.seed) : Value()},
                {"inputs", std::move(inputs)},
                {"outputs", texts_value(spec.outputs)},
                {"resources", to_value(spec.resources)},
                {"retry", Object{{"user_failures_max", spec.retry.user_failures_max},
                                 {"infra_failures_max", spec.retry.infra_failures_max}}},
                {"lease_ms", spec.lease_ms},
                {"resumable", spec.resumable},
                {"secrets", texts_value(spec.secrets)},
                {"flops", spec.flops},
                {"scoring", spec.scoring},
                {"grace_ms", spec.grace_ms},
                {"fallbacks", std::move(fallbacks)},
                {"log_rules", std::move(rules)},
                {"code", spec.code ? Value(spec.code->hash.hex()) : Value()},
                {"versions", std::move(versions)},
                {"versions_in_key", texts_value(spec.versions_in_key)}};
}

}  // namespace strata::coordinator

#include "coordinator/spec_json.h"

namespace strata::coordinator {

Value texts_value(const std::vector<std::string>& texts) {
  Array array;
  for (const std::string& text : texts) array.emplace_back(text);
  return array;
}

Value to_value(const Resources& resources) {
  return Object{{"slots", resources.slots},
                {"ranks", resources.ranks},
                {"threads", resources.threads},
                {"labels", texts_value(resources.labels)}};
}

Value to_value(const TaskSpec& spec) {
  Array inputs;
  for (const TaskInput& input : spec.inputs) {
    inputs.emplace_back(
        Object{{"name", input.name}, {"producer", input.producer.hex()}, {"output", input.output}});
  }
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
                {"flops", spec.flops}};
}

}  // namespace strata::coordinator

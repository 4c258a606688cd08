// Tasks made of tests/support/counting_stage.py.
#pragma once

#include <string>

#include "schema/task.h"

namespace strata::testing {

inline TaskSpec counting(int steps, double pause, const std::string& salt = "") {
  TaskSpec spec;
  spec.stage = "count";
  spec.program = {
      .name = "count",
      .argv = {"python3", std::string(STRATA_SOURCE_DIR) + "/tests/support/counting_stage.py"}};
  spec.parameters = Object{{"steps", steps}, {"pause", pause}, {"salt", salt}};
  spec.outputs = {"result"};
  spec.resumable = true;
  spec.lease_ms = 6'000;
  spec.key = compute_key(spec);
  return spec;
}

// The same with the result of `producer` as an input.
inline TaskSpec after(TaskSpec spec, const TaskSpec& producer) {
  spec.inputs = {{.name = "before", .producer = producer.key, .output = "result"}};
  spec.key = compute_key(spec);
  return spec;
}

}  // namespace strata::testing

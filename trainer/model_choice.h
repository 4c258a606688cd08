// Which exported model a stage is to use: {"name", "identity"} in its parameters. The name finds
// the archive below the spec's `models`, the identity is what task keys know it by.
#pragma once

#include <string>

#include "base/fields.h"
#include "base/value.h"

namespace strata::trainer {

struct ModelChoice {
  std::string name{};
  std::string identity{};
  [[nodiscard]] Object describe() const { return {{"name", name}, {"identity", identity}}; }
};

[[nodiscard]] inline ModelChoice read_model_choice(Fields& fields) {
  return {.name = fields.text("name"), .identity = fields.text("identity")};
}

}  // namespace strata::trainer

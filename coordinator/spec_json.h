// A task's spec as people and scripts see it in `show`; everything but the secrets' values, which
// nobody here knows.
#pragma once

#include "base/value.h"
#include "schema/artifact.h"
#include "schema/task.h"

namespace strata::coordinator {

[[nodiscard]] Value to_value(const TaskSpec& spec);
[[nodiscard]] Value to_value(const Resources& resources);
[[nodiscard]] Value texts_value(const std::vector<std::string>& texts);

}  // namespace strata::coordinator

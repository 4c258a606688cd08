// docs/state-machine.md, made by trying every event on a task in every state.
#pragma once

#include <string>

namespace strata::simulation {

[[nodiscard]] std::string state_machine_page();

}  // namespace strata::simulation

// A sweep file with all that it names: pipeline, catalogue, the code of its commands, the versions
// of its data.
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/definition.h"
#include "cli/plan_report.h"
#include "schema/sweep.h"

namespace strata::cli {

// kLook: what kFreeze would store, without storing it. kUnfrozen: commands stay as they are.
enum class Code { kLook, kFreeze, kUnfrozen };

struct LoadedSweep {
  SweepDefinition definition{};
  Expansion expansion{};
  SourceFile file{};
  std::vector<StageCodeFacts> code{};
};

// kFreeze asks the coordinator where its artifact folder is, if there is code to freeze.
[[nodiscard]] Result<LoadedSweep> load_sweep(Context& context, const std::string& path, Code code);

}  // namespace strata::cli

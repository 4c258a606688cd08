#include "trainer/check_program.h"

#include <cstdio>

#include "base/json.h"
#include "base/log.h"
#include "trainer/data/memory_budget.h"
#include "trainer/feasibility.h"

namespace strata::trainer {
namespace {

FeasibilityOptions options_of(int ranks, bool look_at_files) {
  const int here = ranks_here(ranks);
  const MachineMemory machine = machine_memory();
  return {.ranks = ranks,
          .ranks_here = here,
          .look_at_files = look_at_files,
          .machine = machine,
          .corpus_room = dataset_memory(here, machine)};
}

Result<Feasibility> check(const std::filesystem::path& file) {
  STRATA_TRY(const StageSpec spec, read_stage_spec(file));
  STRATA_TRY(const TrainConfig config, read_train_config(spec));
  return check_feasibility(spec, config, options_of(spec.ranks, true));
}

}  // namespace

int run_check(const std::filesystem::path& file, bool json) {
  const auto found = check(file);
  if (!found) {
    std::fprintf(stderr, "strata-trainer check: %s\n", found.error().message.c_str());
    return exit_code_of(found.error());
  }
  const std::string report = json ? to_pretty_json(to_value(*found)) + "\n" : to_text(*found);
  std::fputs(report.c_str(), stdout);
  return found->errors() > 0 ? exit_code::kInvalid : exit_code::kSucceeded;
}

Status check_before_training(const StageSpec& spec, const TrainConfig& config, int rank,
                             int ranks) {
  STRATA_TRY(Feasibility found, check_feasibility(spec, config, options_of(ranks, rank == 0)));
  for (Finding& finding : found.findings) {
    // Refused, the stage would be invalid everywhere; killed for want of memory, it is tried again
    // where there is more.
    if (finding.kind == kMemory) finding.level = Level::kWarning;
    const bool said_later = finding.kind == kRejectedFeatures;  // by Dataset::load
    if (rank == 0 && finding.level == Level::kWarning && !said_later)
      log_warning("trainer", "{}", describe(finding));
  }
  return refuse_infeasible(found);
}

}  // namespace strata::trainer

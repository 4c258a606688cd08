// What a program that succeeded has made: its outputs go into the store, its scores are read.
#pragma once

#include <map>
#include <string>

#include "link/artifact_store.h"
#include "schema/message.h"
#include "worker/run_directory.h"

namespace strata::worker {

using link::ArtifactStore;
using link::Take;
using link::Verify;

// Succeeded, or Failed with what is missing or wrong. `store` may be null when nothing is declared.
// Safe on any thread.
[[nodiscard]] Outcome collect_results(const ArtifactStore* store, const StartAttempt& order,
                                      const RunDirectory& directory,
                                      std::map<std::string, std::string> recorded);

// Whether the inputs, and the checkpoint, are there as they were stored.
struct InputCheck {
  std::string why{};                // for people; empty: all is well
  std::vector<ContentHash> lost{};  // known not to be there: somebody has to make them again
  bool unknown = false;             // the store could not tell about some of them now
  bool no_code = false;             // the frozen code is not in the store any more
  std::filesystem::path code{};     // where it is laid out; empty: the task has none
};
[[nodiscard]] InputCheck check_inputs(const ArtifactStore& store, const StartAttempt& order,
                                      Verify how);

}  // namespace strata::worker

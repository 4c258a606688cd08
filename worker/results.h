// What a program that succeeded has made: its outputs go into the store, its scores are read.
#pragma once

#include <map>
#include <string>

#include "schema/message.h"
#include "worker/artifact_store.h"
#include "worker/run_directory.h"

namespace strata::worker {

// Succeeded, or Failed with what is missing or wrong. `store` may be null when nothing is declared.
// Safe on any thread.
[[nodiscard]] Outcome collect_results(const ArtifactStore* store, const StartAttempt& order,
                                      const RunDirectory& directory,
                                      std::map<std::string, std::string> recorded);

// The inputs, and the checkpoint, that the store does not have as they were stored; `why` says it
// for people.
[[nodiscard]] std::vector<ContentHash> missing_inputs(const ArtifactStore& store,
                                                      const StartAttempt& order, Verify how,
                                                      std::string& why);

}  // namespace strata::worker

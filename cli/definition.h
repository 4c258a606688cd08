// What travels with a submission (docs/requests.md): all that a table needs to know about the
// sweep, as canonical JSON.
#pragma once

#include <string>

#include "schema/message.h"
#include "schema/sweep.h"

namespace strata::cli {

struct SourceFile {
  std::string path{};    // as given on the command line
  std::string sha256{};  // of its text
};

[[nodiscard]] Value definition_record(const SweepDefinition& definition, const Expansion& expansion,
                                      const SourceFile& file);

// A digest of what a submission would bring: tasks, how each is to be run, runs, priority. Two
// files that differ in a comment have the same; a plan is for one of them.
[[nodiscard]] std::string scope_of(const SweepDefinition& definition, const Expansion& expansion);

// The sweep as SubmitTasks batches: tasks first, producers before consumers, then the runs. `user`
// is who submits it.
[[nodiscard]] std::vector<SubmitTasks> submission(const SweepDefinition& definition,
                                                  const Expansion& expansion, const Value& record,
                                                  const std::string& if_plan,
                                                  const std::string& user);

}  // namespace strata::cli

// The subcommands that need judges, as exit codes of docs/stages.md. A build without torch has the
// same functions; they say so and return 2.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "evaluator/score_list.h"

namespace strata::evaluator {

// One scoring task. `stop_requested` is asked after each recording.
[[nodiscard]] int score_command(const std::filesystem::path& spec,
                                const std::function<bool()>& stop_requested);
// A list and a folder of recordings, by hand; prints the scores.
[[nodiscard]] int score_list_command(const ScoreListOptions& options,
                                     const std::function<bool()>& stop_requested);
// What lies in a folder of exported archives, by name.
[[nodiscard]] int judges_list_command(const std::filesystem::path& models, bool json);
// Loads each (or the named ones), with self-test and sanity check. 1 when one of them fails.
[[nodiscard]] int judges_verify_command(const std::filesystem::path& models,
                                        const std::vector<std::string>& names, int threads);

}  // namespace strata::evaluator

// The code of a stage, as it lies here when a sweep is planned or submitted: which files, what git
// says about them, and putting them into the artifact store, where nothing changes them any more.
//
// A file that is a symbolic link is taken as what it points to, if that lies below `root`. Errors
// name the stage and the file. docs/sweeps.md, "Code is frozen at submit".
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "link/artifact_store.h"
#include "schema/sweep.h"

namespace strata::cli {

inline constexpr std::size_t kCodeFilesMax = 2'000;
inline constexpr std::uintmax_t kCodeBytesMax = 64ULL << 20U;

struct CodeFiles {
  std::filesystem::path root{};      // the deepest folder with all of them and {folder} below it
  std::vector<std::string> files{};  // relative to it, sorted
  std::string git{};  // "3f2a... + 2 changed files"; empty: not in a repository with a commit
};

// REQUIRES: stage.folder is not empty.
[[nodiscard]] Result<CodeFiles> find_code(const StageDefinition& stage);

// The stage's command with kCodeToken standing for the root.
[[nodiscard]] std::vector<std::string> command_in_code(const StageDefinition& stage,
                                                       const std::filesystem::path& root);

[[nodiscard]] Result<Manifest> manifest_of(const CodeFiles& code);
[[nodiscard]] Result<ArtifactRef> freeze(const CodeFiles& code, const link::ArtifactStore& store);

}  // namespace strata::cli

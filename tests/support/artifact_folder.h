// An artifact folder as a coordinator leaves it for its workers.
#pragma once

#include <filesystem>
#include <string>

#include "base/assert.h"
#include "base/files.h"
#include "link/artifact_store.h"
#include "schema/artifact.h"

namespace strata::testing {

inline void mark_artifact_folder(const std::filesystem::path& folder,
                                 const std::string& coordinator_id) {
  const auto marker = folder / artifact_folder_marker(coordinator_id);
  STRATA_ASSERT(make_folder(marker.parent_path()).has_value());
  STRATA_ASSERT(write_file_atomic(marker, "test").has_value());
}

inline link::ArtifactStore open_artifact_store(const std::filesystem::path& folder) {
  mark_artifact_folder(folder, "test");
  auto store = link::ArtifactStore::open(folder, "test");
  STRATA_ASSERT(store.has_value());
  return *store;
}

}  // namespace strata::testing

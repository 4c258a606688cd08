// Puts databases into a store folder in place of those that are there, so that an end at any moment
// leaves a store that is the old one, the new one, or one that says at the next start what is
// missing: never one that looks whole and is not.
#pragma once

#include <filesystem>
#include <string>

#include "coordinator/store_folder.h"

namespace strata::coordinator {

// `made` holds events.sqlite, tables.sqlite, metrics.sqlite, the name and the tips, closed. What
// was there is kept in the folder that is returned ("replaced-TIME"; empty: there was nothing).
// `made` is removed. REQUIRES: the folder's lock is held, and nothing in it is open.
[[nodiscard]] Result<std::string> replace_databases(const StoreFolder& folder,
                                                    const std::filesystem::path& made);

// What was written to the file, or renamed into the folder, survives a power cut.
[[nodiscard]] Status sync_path(const std::filesystem::path& path);

}  // namespace strata::coordinator

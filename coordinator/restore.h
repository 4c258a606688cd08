// `--restore FOLDER`: makes a store again from its mirror or from a backup, on whatever machine.
//
// What the dead coordinator committed after its last pass, or after the backup, is not there.
// Sweeps and results among it are forgotten; attempts that were granted may still run and report,
// so the restored log goes on with StoreRestored: no number that they may have is given again, and
// what they report is stale. Attempts that the copy knows are adopted as after any restart.
#pragma once

#include <cstdint>
#include <string>

#include "coordinator/store_folder.h"

namespace strata::coordinator {

struct Restored {
  bool copied = false;       // false: the store had everything that the mirror has
  std::uint64_t events = 0;  // in the store now
  bool whole = false;        // the last coordinator had ended: nothing is lost
  std::string replaced{};    // where an older store in the folder was put; empty: there was none
};

// REQUIRES: the store folder's lock is held (`folder`), and nothing in it is open.
// kConflict, and nothing is changed: the mirror is kept by a living coordinator; the store is of
// another mirror; or the store has newer events than the mirror. The same for a backup. A damaged
// store gives way unless more of its events can be believed than the mirror has.
[[nodiscard]] Result<Restored> restore_store(const StoreFolder& folder,
                                             const std::filesystem::path& from);

}  // namespace strata::coordinator

// `fsck --repair`: makes a store anew from what can be believed of its log. The derived tables are
// made again from the events; where events or points cannot be read, the caller has to accept their
// loss. The old files are kept in the folder, beside the new ones.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "coordinator/salvage.h"
#include "coordinator/store_folder.h"

namespace strata::coordinator {

struct Repaired {
  bool was_sound = false;  // nothing was done
  SalvagedEvents events{};
  SalvagedPoints points{};
  std::string replaced{};                  // where the old files are
  [[nodiscard]] std::string text() const;  // for people
};

// REQUIRES: the folder's lock is held (no coordinator is at work). kConflict, and nothing is
// changed: something would be lost and `drop_damaged` is not given; the message names it.
[[nodiscard]] Result<Repaired> repair_store(const StoreFolder& folder, bool drop_damaged);

}  // namespace strata::coordinator

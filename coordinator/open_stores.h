// Opens the databases of a store folder for a coordinator's life, whatever state they are in. A
// damaged one is left untouched: what can be believed of it is read into the folder "safe-mode",
// and the coordinator answers questions from there, dispatches nothing and takes nothing in.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "coordinator/event_store.h"
#include "coordinator/metric_store.h"
#include "coordinator/store_folder.h"

namespace strata::coordinator {

inline constexpr std::size_t kTasksShown = 5;  // of the affected ones, in the reason

struct OpenStores {
  EventStore events;
  MetricStore metrics;
  std::filesystem::path events_file{};  // of these three, for readers
  std::filesystem::path metrics_file{};
  std::filesystem::path tables_file{};
  Replayed replayed{};
  std::string safe_mode{};  // what is damaged and what to do about it; empty: all is sound
};

// Each believed event is shown to `observer`. An error only when nothing of the event log can be
// read: it says where to get it from.
[[nodiscard]] Result<OpenStores> open_stores(const StoreFolder& folder,
                                             const std::function<void(const Event&)>& observer);

}  // namespace strata::coordinator

// Reads what can be believed of a damaged store into a new one. The damaged files are only read.
// What a start in safe mode asks its questions of, and what `fsck --repair` puts in place.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/event_store.h"

namespace strata::coordinator {

inline constexpr std::size_t kDamagedSeriesMax = 1'000;  // named in a report

struct SalvagedEvents {
  std::uint64_t events = 0;        // from the first on, without a gap
  std::optional<Damage> damage{};  // why the log goes no further; none: it is whole
  bool nameless =
      false;  // the copy has a new name: workers would end what they run for the old one
};

// `loss_is_accepted`: where the log is not whole, attempts beyond it may be running, so that the
// new one goes on with StoreRestored. An error when nothing at all can be read, or `to` not
// written.
[[nodiscard]] Result<SalvagedEvents> salvage_events(const std::filesystem::path& from,
                                                    const std::filesystem::path& to,
                                                    bool loss_is_accepted);

struct SalvagedPoints {
  std::uint64_t points = 0;
  std::string damage{};               // empty: all of them were read
  std::vector<std::string> series{};  // "TASK attempt N", of which some may be missing
};

[[nodiscard]] Result<SalvagedPoints> salvage_points(const std::filesystem::path& from,
                                                    const std::filesystem::path& to);

}  // namespace strata::coordinator

// Writes the events of another log, frame by frame, into a new store, through the code that wrote
// the first one: its chain and its derived tables are made again on the way. What a restore from a
// mirror, the repair of a damaged store and the start from a backup have in common.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/event_store.h"

namespace strata::coordinator {

// No task gets so many attempts between a copy of a store (a mirror's pass, a backup, the last
// event that could be read) and the end of the life that it was taken from.
inline constexpr std::uint32_t kAttemptsSkipped = 1'000'000;

class LogCopy {
 public:
  // `coordinator` empty: the store gets a new name.
  static Result<LogCopy> open(const std::filesystem::path& file, const std::string& coordinator);

  // kDamaged: it cannot follow. REQUIRES: write() at the end.
  [[nodiscard]] Status add(std::uint64_t seq, std::uint32_t chain, std::string_view frame);
  [[nodiscard]] Status write();
  // The copy may be older than what was acknowledged: attempts that it does not know may run and
  // report. The log goes on with StoreRestored, so that no number which they may have is given
  // again.
  [[nodiscard]] Status skip_attempts();

  [[nodiscard]] std::uint64_t last_seq() const { return last_; }
  [[nodiscard]] std::uint32_t chain() const { return chain_; }

 private:
  explicit LogCopy(EventStore store) : store_(std::move(store)) {}
  EventStore store_;
  Cluster cluster_;
  std::vector<Event> events_;
  std::vector<std::string> frames_;
  std::uint64_t last_ = 0;
  std::uint32_t chain_ = 0;
};

// What follows the state of `cluster` in a log that is a copy.
[[nodiscard]] Event store_restored(const Cluster& cluster);

}  // namespace strata::coordinator

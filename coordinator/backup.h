// A copy of a store at one moment, in a folder of its own, taken while the coordinator works (or
// does not): through read-only connections and SQLite's backup interface, so that nobody waits.
//
//   events.sqlite, metrics.sqlite, events.sqlite-tip, keys.json    as in the store
//   backup.json                                                    what it is; the last to be
//   written
//
// A store is made from it with `--restore FOLDER`. Attempts that were granted after the backup may
// run and report then, so the restored log goes on as after any restore (restore.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/value.h"

namespace strata::coordinator {

struct Backup {
  std::string coordinator{};  // the store's name
  std::uint64_t events = 0;   // number of the last one
  std::uint32_t chain = 0;    // of that one
  std::uint64_t points = 0;   // metric points
  std::uint64_t bytes = 0;    // of both databases
  std::int64_t taken_ms = 0;
  [[nodiscard]] Value value() const;
};

// Makes `to`, whole or not at all, and not before the copy was read back: every page, every event,
// and that each may follow the one before. kConflict: `to` exists. kDamaged: the store is not
// sound.
[[nodiscard]] Result<Backup> take_backup(const std::filesystem::path& store,
                                         const std::filesystem::path& to);

[[nodiscard]] bool is_backup(const std::filesystem::path& folder);
[[nodiscard]] Result<Backup> read_backup(const std::filesystem::path& folder);

}  // namespace strata::coordinator

// Checks a store: SQLite's structures, every event, the checksum chain, that each event may follow,
// and that the derived tables are what the log gives when it is replayed into an empty database.
// Reads only; a coordinator may be running, but then the newest commits may show as differences.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/event_store.h"

namespace strata::coordinator {

inline constexpr std::int64_t kShownDifferences = 5;  // of each table

struct TableDifference {
  std::string table{};
  std::int64_t rows = 0;             // stored and not rebuilt, plus rebuilt and not stored
  std::vector<std::string> shown{};  // "stored: ..." and "rebuilt: ...", the first few
};

struct FsckReport {
  std::string structure{};  // what SQLite's own check finds first in the log
  std::string tables{};     // and in the derived tables
  std::uint64_t events = 0;
  std::optional<Damage> damage{};
  std::int64_t older = 0;  // the version of its tables, when an earlier build wrote them
  std::vector<TableDifference> differences{};  // not looked for when the log is damaged or older
  std::string points{};                        // what is wrong with the metric points
  [[nodiscard]] bool sound() const {
    return structure.empty() && tables.empty() && !damage && differences.empty() && points.empty();
  }
  [[nodiscard]] std::string text() const;  // for people, one fact a line
};

// `metrics_file` empty: that one is not looked at.
[[nodiscard]] Result<FsckReport> fsck(const std::filesystem::path& events_file,
                                      const std::filesystem::path& metrics_file = {});

// Compares the derived tables as they are at one moment with what the log gives up to the event to
// which they go; a coordinator may be at work. The folder `scratch` is used for it. Once `ending`
// is true it ends soon, with an error.
[[nodiscard]] Result<std::vector<TableDifference>> compare_tables(
    const std::filesystem::path& events_file, const std::filesystem::path& scratch,
    const std::atomic<bool>& ending);

// What is wrong with the store's name in the log, or with the metric points; empty: nothing, or no
// file was given.
[[nodiscard]] std::string damage_of_name(const std::filesystem::path& events_file);
[[nodiscard]] std::string damage_of_points(const std::filesystem::path& metrics_file);

// Every event as one line of JSON: {"seq", "at_ms", "kind", "task", "bytes"}; for looking at a log
// with other tools.
[[nodiscard]] Status list_events(const std::filesystem::path& events_file,
                                 const std::function<void(const std::string&)>& line);

}  // namespace strata::coordinator

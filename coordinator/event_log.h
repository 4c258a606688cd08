// The rows of the event log: one for each commit, with the frames of its events one after the
// other, and beside it the tasks that they name. Logs of earlier builds have one row for each event
// (the table `event`); they are read, too, until EventStore::open() has written them anew.
//
// log_end(), chain_at(), append() and rewrite_old_rows() throw SQLite::Exception: included by files
// of this room only, inside from_sqlite.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/event_store.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_tip.h"

namespace strata::coordinator {

// A row holds no more, so that no commit is too large for one.
inline constexpr std::size_t kBatchBytesMax = 8U << 20U;

// The task that an event is about.
[[nodiscard]] const TaskKey* task_of(const EventBody& body);

// The newest event; {0, 0} for an empty log.
[[nodiscard]] Tip log_end(SQLite::Database& database);
// The chain of an event, if the log has it and its row can be believed as far as that.
[[nodiscard]] std::optional<std::uint32_t> chain_at(SQLite::Database& database, std::uint64_t seq);
[[nodiscard]] bool has_old_rows(SQLite::Database& database);

// Within a transaction. What the log ends with then.
[[nodiscard]] Tip append(Statements& run, Tip end, std::span<const std::string> frames,
                         std::span<const Event> events);

// All events in order, checked; see read_events().
[[nodiscard]] Result<std::optional<Damage>> read_log(SQLite::Database& database,
                                                     std::optional<Tip> tip,
                                                     const VisitEvent& visit);

// The frames after `after`, whose chain is `after.chain`; not decoded. kDamaged where they do not
// fit the chain.
using VisitFrame =
    std::function<Status(std::uint64_t seq, std::uint32_t chain, std::string_view frame)>;
[[nodiscard]] Status read_frames(SQLite::Database& database, Tip after, const VisitFrame& visit);

// The frames of a row. kDamaged where it does not divide into frames.
[[nodiscard]] Result<std::vector<std::string_view>> split_frames(std::string_view body);

}  // namespace strata::coordinator

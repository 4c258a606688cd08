#include "coordinator/event_store.h"

#include <limits>

#include "base/assert.h"
#include "base/sha256.h"
#include "base/zmq/socket.h"
#include "coordinator/derived_tables.h"
#include "coordinator/migrations.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_tip.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

// In a row that cannot be read; then the rest is taken for the end.
constexpr std::uint64_t kUnreadableRowsMax = 1'000;

// Random enough to tell stores apart; not a secret.
Result<std::string> random_name() {
  STRATA_TRY(const CurveKeys keys, make_curve_keys());
  return sha256_hex(keys.public_key).substr(0, 16);
}

struct Row {
  std::uint64_t seq = 0;
  std::int64_t at_ms = 0;
  std::string kind{};
  std::string task{};
  std::string body{};
  std::uint32_t chain = 0;
};

// Why `row` is not what was written after `last`, or the event that it holds.
Result<Event> believe(const Row& row, std::uint64_t last, std::uint32_t chain) {
  if (row.seq != last + 1) return fail(ErrorCode::kDamaged, "event {} is missing", last + 1);
  if (row.chain != chained(chain, row.seq, row.body)) {
    return fail(ErrorCode::kDamaged, "event {} does not fit the checksum chain", row.seq);
  }
  STRATA_TRY(Event event, decode_event(row.body));
  const TaskKey* task = task_of(event.body);
  if (row.kind != name_of(event.body) || row.at_ms != event.at.unix_ms ||
      row.task != (task != nullptr ? task->hex() : "")) {
    return fail(ErrorCode::kDamaged, "the columns of event {} say something else than its body",
                row.seq);
  }
  return event;
}

Row row_of(SQLite::Statement& select) {
  return {.seq = static_cast<std::uint64_t>(select.getColumn(0).getInt64()),
          .at_ms = select.getColumn(1).getInt64(),
          .kind = select.getColumn(2).getString(),
          .task = select.getColumn(3).getString(),
          .body = select.getColumn(4).getString(),
          .chain = static_cast<std::uint32_t>(select.getColumn(5).getInt64())};
}

// The tasks that events after `last` name. The index holds them beside the rows, so that what a
// damaged page of the one hides is read in the other; a row that cannot be read is passed over.
std::vector<std::string> tasks_named_after(SQLite::Database& database, std::uint64_t last) {
  std::set<std::string> named;
  bool any = false;  // whether the last query gave a row
  const auto add = [&](const char* sql, std::uint64_t after, std::uint64_t up_to) {
    any = false;
    const Status read = from_sqlite("naming the affected tasks", [&] {
      SQLite::Statement tasks(database, sql);
      Statements::bind(tasks, after, up_to);
      while (named.size() < static_cast<std::size_t>(kDamagedTasksMax) && tasks.executeStep()) {
        any = true;
        if (!tasks.isColumnNull(0)) named.insert(tasks.getColumn(0).getString());
      }
    });
    return read.has_value();
  };
  constexpr std::uint64_t kEnd = std::numeric_limits<std::int64_t>::max();
  constexpr const char* kRows = "SELECT task FROM event NOT INDEXED WHERE seq > ? AND seq <= ?";
  add("SELECT DISTINCT task FROM event INDEXED BY event_by_task WHERE task IS NOT NULL AND seq > ? "
      "AND seq <= ?",
      last, kEnd);
  if (!add(kRows, last, kEnd)) {
    // One by one: the search for a row does not touch the damaged pages beside it.
    std::uint64_t missed = 0;
    for (std::uint64_t seq = last; missed < kUnreadableRowsMax; ++seq) {
      add(kRows, seq, seq + 1);
      missed = any ? 0 : missed + 1;
    }
  }
  return {named.begin(), named.end()};
}

Result<std::optional<Damage>> read_from(SQLite::Database& database, std::optional<Tip> tip,
                                        const VisitEvent& visit) {
  std::uint64_t last = 0;
  std::uint32_t chain = 0;
  const auto damage_at = [&](std::string what) {
    return std::optional<Damage>(Damage{
        .seq = last + 1, .what = std::move(what), .tasks = tasks_named_after(database, last)});
  };
  while (true) {
    std::vector<Row> rows;
    const Status read = from_sqlite("reading the event log", [&] {
      SQLite::Statement select(database,
                               "SELECT seq, at_ms, kind, coalesce(task, ''), body, chain FROM "
                               "event NOT INDEXED WHERE seq > ? ORDER BY seq LIMIT ?");
      Statements::bind(select, last, kReplayChunkEvents);
      while (select.executeStep()) rows.push_back(row_of(select));
    });
    if (!read && read.error().code != ErrorCode::kDamaged) return tl::unexpected(read.error());
    for (const Row& row : rows) {
      auto event = believe(row, last, chain);
      if (!event) return damage_at(event.error().message);
      if (tip && tip->seq == row.seq && tip->chain != row.chain)
        return damage_at(fmt::format("event {} is not the one that was committed", row.seq));
      const Status visited =
          visit({.seq = row.seq, .chain = row.chain, .frame = row.body, .event = *event});
      if (!visited) {
        if (visited.error().code == ErrorCode::kUnavailable)  // it could not write, say
          return tl::unexpected(visited.error());
        return damage_at(visited.error().message);
      }
      last = row.seq;
      chain = row.chain;
    }
    if (!read) return damage_at(read.error().message);
    if (rows.empty()) break;
  }
  if (!tip || tip->seq <= last) return std::optional<Damage>();
  return damage_at(
      fmt::format("the log ends with event {}, and events up to {} were committed: its end is torn "
                  "off, or an older copy lies in its place",
                  last, tip->seq));
}

}  // namespace

struct EventStore::State {
  State(fs::path where, std::unique_ptr<SQLite::Database> opened, TipWriter writer)
      : file(std::move(where)),
        database(std::move(opened)),
        run(*database),
        derived(*database),
        tip(std::move(writer)) {}
  fs::path file;
  std::unique_ptr<SQLite::Database> database;
  Statements run;
  DerivedTables derived;
  TipWriter tip;
  std::string coordinator_id;
  std::uint64_t last_seq = 0;
  std::uint32_t chain = 0;
};

namespace {

// The version of the tables whose rows were made by the code of that version; 0: not known.
constexpr const char* kTablesMadeBy =
    "SELECT coalesce(max(CAST(value AS INTEGER)), 0) FROM store WHERE name = 'tables'";

// Rows of derived tables that an earlier build wrote need not be those that this one writes, so a
// newer version makes them again from the log; all or nothing. A damaged log keeps what it has.
Status make_tables_anew(SQLite::Database& database, DerivedTables& derived, const fs::path& file) {
  Cluster cluster;
  std::vector<Event> waiting;
  const auto write = [&] {
    return from_sqlite("making the derived tables again", [&] {
      derived.write(waiting, rows_of(cluster.take_touched(), cluster));
      waiting.clear();
    });
  };
  auto done = from_sqlite("making the derived tables again", [&]() -> Status {
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    for (const char* table : derived_table_names())
      database.exec(fmt::format("DELETE FROM {}", table));
    STRATA_TRY(const auto damage,
               read_from(database, read_tip(file), [&](const StoredEvent& stored) -> Status {
                 STRATA_CHECK_OK(cluster.apply_checked(stored.event));
                 waiting.push_back(stored.event);
                 return waiting.size() < static_cast<std::size_t>(kReplayChunkEvents) ? Status()
                                                                                      : write();
               }));
    if (damage) return {};
    STRATA_CHECK_OK(write());
    database.exec(
        fmt::format("INSERT INTO store (name, value) VALUES ('tables', '{}') ON CONFLICT "
                    "(name) DO UPDATE SET value = excluded.value",
                    event_migrations().size()));
    transaction.commit();
    return {};
  });
  return done ? *done : tl::unexpected(done.error());
}

}  // namespace

EventStore::EventStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
EventStore::~EventStore() = default;
EventStore::EventStore(EventStore&&) noexcept = default;
EventStore& EventStore::operator=(EventStore&&) noexcept = default;

Result<EventStore> EventStore::open(const fs::path& file, const std::string& name) {
  std::error_code ignored;
  const auto tip = read_tip(file);
  const bool there = fs::exists(file, ignored);
  if (tip && (!there || fs::file_size(file, ignored) == 0)) {
    return fail(ErrorCode::kDamaged, "{} is {}; {} says that it had {} events", file.string(),
                there ? "empty" : "gone", tip_file(file).filename().string(), tip->seq);
  }
  STRATA_TRY(auto database, open_store(file, "FULL", event_migrations()));
  STRATA_TRY(TipWriter tip_writer, TipWriter::open(file));
  auto state = std::make_unique<State>(file, std::move(database), std::move(tip_writer));
  STRATA_TRY(const std::string random, random_name());
  STRATA_CHECK_OK(from_sqlite(fmt::format("opening {}", file.string()), [&] {
    state->run.run(
        "INSERT INTO store (name, value) VALUES ('coordinator', ?) ON CONFLICT DO NOTHING",
        name.empty() ? random : name);
    state->coordinator_id =
        state->database->execAndGet("SELECT value FROM store WHERE name = 'coordinator'")
            .getString();
    SQLite::Statement last(*state->database,
                           "SELECT seq, chain FROM event ORDER BY seq DESC LIMIT 1");
    if (last.executeStep()) {
      state->last_seq = static_cast<std::uint64_t>(last.getColumn(0).getInt64());
      state->chain = static_cast<std::uint32_t>(last.getColumn(1).getInt64());
    }
  }));
  STRATA_TRY(const std::int64_t made_by, from_sqlite("reading the version of the tables", [&] {
               return state->database->execAndGet(kTablesMadeBy).getInt64();
             }));
  if (made_by < static_cast<std::int64_t>(event_migrations().size()))
    STRATA_CHECK_OK(make_tables_anew(*state->database, state->derived, file));
  return EventStore(std::move(state));
}

const std::string& EventStore::coordinator_id() const { return state_->coordinator_id; }
std::uint64_t EventStore::last_seq() const { return state_->last_seq; }

Status EventStore::commit(std::span<const Event> events, const Touched& touched,
                          const Cluster& cluster) {
  std::vector<std::string> frames;
  frames.reserve(events.size());
  for (const Event& event : events) {
    STRATA_TRY(std::string frame, encode(event));
    frames.push_back(std::move(frame));
  }
  return commit_frames(frames, events, touched, cluster);
}

Status EventStore::commit_frames(std::span<const std::string> frames, std::span<const Event> events,
                                 const Touched& touched, const Cluster& cluster) {
  STRATA_ASSERT(frames.size() == events.size());
  std::uint64_t seq = state_->last_seq;
  std::uint32_t chain = state_->chain;
  STRATA_CHECK_OK(from_sqlite("writing to the event log", [&] {
    SQLite::Transaction transaction(*state_->database, SQLite::TransactionBehavior::IMMEDIATE);
    for (std::size_t i = 0; i < events.size(); ++i) {
      chain = chained(chain, ++seq, frames[i]);
      const TaskKey* task = task_of(events[i].body);
      SQLite::Statement& insert = state_->run.get(
          "INSERT INTO event (seq, at_ms, kind, task, chain, body) VALUES (?, ?, ?, ?, ?, ?)");
      Statements::bind(insert, seq, events[i].at.unix_ms, name_of(events[i].body),
                       task != nullptr ? std::optional<std::string>(task->hex()) : std::nullopt,
                       chain);
      insert.bind(6, frames[i].data(), static_cast<int>(frames[i].size()));
      insert.exec();
      insert.reset();
    }
    state_->derived.write(events, rows_of(touched, cluster));
    transaction.commit();
  }));
  state_->last_seq = seq;
  state_->chain = chain;
  if (!events.empty()) state_->tip.write({.seq = seq, .chain = chain});
  return {};
}

Result<Replayed> EventStore::replay(const std::function<void(const Event&)>& observer) const {
  Replayed replayed;
  STRATA_TRY(replayed.damage,
             read_from(*state_->database, read_tip(state_->file),
                       [&](const StoredEvent& stored) -> Status {
                         STRATA_CHECK_OK(replayed.cluster.apply_checked(stored.event));
                         if (observer) observer(stored.event);
                         ++replayed.events;
                         return {};
                       }));
  // Their rows are in the store already.
  static_cast<void>(replayed.cluster.take_touched());
  return replayed;
}

Status EventStore::limit_pages(std::int64_t pages) {
  // The widest limit that SQLite knows stands for none.
  constexpr std::int64_t kNoLimit = 4'294'967'294;
  return from_sqlite("limiting the event log", [&] {
    state_->database->execAndGet(
        fmt::format("PRAGMA max_page_count={}", pages > 0 ? pages : kNoLimit));
  });
}

Result<std::optional<Damage>> read_events(const fs::path& file, const VisitEvent& visit) {
  const auto tip = read_tip(file);  // before the log: a coordinator may be at work
  STRATA_TRY(const auto database, open_damaged(file));
  return read_from(*database, tip, visit);
}

}  // namespace strata::coordinator

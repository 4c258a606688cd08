#include "coordinator/event_store.h"

#include <future>

#include "base/assert.h"
#include "base/sha256.h"
#include "base/zmq/socket.h"
#include "coordinator/derived_tables.h"
#include "coordinator/event_log.h"
#include "coordinator/migrations.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_name.h"
#include "coordinator/store_tip.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

// Random enough to tell stores apart; not a secret.
Result<std::string> random_name() {
  STRATA_TRY(const CurveKeys keys, make_curve_keys());
  return sha256_hex(keys.public_key).substr(0, 16);
}

constexpr std::size_t kRowsAtOnce = 256;  // of an earlier build, written as one

// Old rows are written anew as batches, in one transaction and only if all of them can be believed.
// A damaged log stays as it is: it is read, but nothing is added to it.
Status rewrite_old_rows(SQLite::Database& database, const fs::path& file) {
  return from_sqlite("writing the event log anew", [&]() -> Status {
    if (!has_old_rows(database)) return {};
    SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
    Statements run(database);
    std::vector<std::string> frames;
    std::vector<Event> events;
    Tip end{};
    Status written;
    const auto flush = [&] {
      written = from_sqlite("writing the event log anew", [&] {
        end = append(run, end, frames, events);
        frames.clear();
        events.clear();
      });
      return written;
    };
    STRATA_TRY(const auto damage,
               read_log(database, read_tip(file), [&](const StoredEvent& stored) -> Status {
                 frames.emplace_back(stored.frame);
                 events.push_back(stored.event);
                 return frames.size() < kRowsAtOnce ? Status() : flush();
               }));
    STRATA_CHECK_OK(written);  // that is no damage of what was read
    if (damage) return {};
    STRATA_CHECK_OK(flush());
    database.exec("DROP TABLE event");
    for (const char* table : derived_table_names())
      database.exec(fmt::format("DROP TABLE IF EXISTS {}", table));
    transaction.commit();
    return {};
  });
}

}  // namespace

struct EventStore::State {
  State(fs::path where, std::unique_ptr<SQLite::Database> opened, TipWriter writer)
      : file(std::move(where)),
        database(std::move(opened)),
        run(*database),
        tip(std::move(writer)) {}
  fs::path file;
  std::unique_ptr<SQLite::Database> database;
  Statements run;
  TipWriter tip;
  std::string coordinator_id;
  Tip end{};
  bool has_old_rows = false;  // damaged ones, which stay as they are
  std::future<Result<std::unique_ptr<Projector>>> opening;
  std::unique_ptr<Projector> tables;  // once they are open
};

EventStore::EventStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
EventStore::~EventStore() = default;
EventStore::EventStore(EventStore&&) noexcept = default;
EventStore& EventStore::operator=(EventStore&&) noexcept = default;

Result<EventStore> EventStore::open(const fs::path& file, const std::string& name) {
  STRATA_TRY(EventStore store, begin_opening(file, name));
  STRATA_CHECK_OK(store.finish_opening());
  return store;
}

Result<EventStore> EventStore::begin_opening(const fs::path& file, const std::string& name) {
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
  STRATA_CHECK_OK(rewrite_old_rows(*state->database, file));
  STRATA_TRY(state->end, from_sqlite(fmt::format("opening {}", file.string()), [&] {
               state->has_old_rows = has_old_rows(*state->database);
               return log_end(*state->database);
             }));
  STRATA_TRY(const std::string random, random_name());
  STRATA_TRY(state->coordinator_id,
             settle_name(*state->database, file, state->end.seq, name.empty() ? random : name));
  state->opening = std::async(std::launch::async,
                              [file, end = state->end] { return Projector::open(file, end); });
  return EventStore(std::move(state));
}

Status EventStore::finish_opening() {
  STRATA_TRY(state_->tables, state_->opening.get());
  return {};
}

const std::string& EventStore::coordinator_id() const { return state_->coordinator_id; }
std::uint64_t EventStore::last_seq() const { return state_->end.seq; }
const Projector& EventStore::tables() const { return *state_->tables; }

Status EventStore::commit(Events events, const Touched& touched, const Cluster& cluster) {
  std::vector<std::string> frames;
  frames.reserve(events->size());
  for (const Event& event : *events) {
    STRATA_TRY(std::string frame, encode(event));
    frames.push_back(std::move(frame));
  }
  return commit_frames(frames, std::move(events), touched, cluster);
}

Status EventStore::commit(std::span<const Event> events, const Touched& touched,
                          const Cluster& cluster) {
  return commit(std::make_shared<const std::vector<Event>>(events.begin(), events.end()), touched,
                cluster);
}

Status EventStore::commit_frames(std::span<const std::string> frames, Events events,
                                 const Touched& touched, const Cluster& cluster) {
  if (events->empty()) return {};
  if (state_->has_old_rows) {
    return fail(ErrorCode::kDamaged,
                "{} is of an earlier build and damaged: nothing is added to it",
                state_->file.string());
  }
  Tip end = state_->end;
  STRATA_CHECK_OK(from_sqlite("writing to the event log", [&] {
    SQLite::Transaction transaction(*state_->database, SQLite::TransactionBehavior::IMMEDIATE);
    end = append(state_->run, end, frames, *events);
    transaction.commit();
  }));
  state_->end = end;
  state_->tip.write(end);
  std::size_t bytes = 0;
  for (const std::string& frame : frames) bytes += frame.size();
  state_->tables->push(
      {.end = end, .events = std::move(events), .rows = rows_of(touched, cluster), .bytes = bytes});
  return {};
}

Result<Replayed> EventStore::replay(const std::function<void(const Event&)>& observer) const {
  Replayed replayed;
  STRATA_TRY(
      replayed.damage,
      read_log(*state_->database, read_tip(state_->file), [&](const StoredEvent& stored) -> Status {
        STRATA_CHECK_OK(replayed.cluster.apply_checked(stored.event));
        replayed.cluster.forget_touched();
        if (observer) observer(stored.event);
        ++replayed.events;
        return {};
      }));
  replayed.cluster.forget_touched();  // their rows are the projector's
  return replayed;
}

void EventStore::make_tables_anew(const std::string& why) { state_->tables->make_anew(why); }

void EventStore::limit_tables(std::int64_t pages, std::size_t events) {
  state_->tables->limit(pages, events);
}

Status EventStore::limit_pages(std::int64_t pages) {
  return strata::coordinator::limit_pages("limiting the event log", *state_->database, pages);
}

Result<std::optional<Damage>> read_events(const fs::path& file, const VisitEvent& visit) {
  const auto tip = read_tip(file);  // before the log: a coordinator may be at work
  STRATA_TRY(const auto database, open_damaged(file));
  return read_log(*database, tip, visit);
}

}  // namespace strata::coordinator

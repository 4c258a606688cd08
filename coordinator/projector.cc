#include "coordinator/projector.h"

#include <map>

#include "base/log.h"
#include "coordinator/derived_tables.h"
#include "coordinator/event_log.h"
#include "coordinator/migrations.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kCaughtUpAtOnce = 4'000;  // events in one transaction
constexpr const char* kEnding = "the coordinator ends";

std::int64_t made_by_this() { return static_cast<std::int64_t>(table_migrations().size()); }

// The newest row of each task, with its spec if any of them has it.
std::vector<TaskRow> newest_rows(const std::vector<Projection>& batch) {
  if (batch.size() == 1) return batch[0].rows;
  std::map<TaskKey, const TaskRow*> newest;
  std::map<TaskKey, const TaskRow*> specs;
  for (const Projection& one : batch) {
    for (const TaskRow& row : one.rows) {
      newest[row.key] = &row;
      if (row.spec) specs[row.key] = &row;
    }
  }
  std::vector<TaskRow> rows;
  rows.reserve(newest.size());
  for (const auto& [key, row] : newest) {
    rows.push_back(*row);
    if (const auto spec = specs.find(key); spec != specs.end())
      rows.back().spec = spec->second->spec;
  }
  return rows;
}

std::string aside(const fs::path& file, const char* end) { return file.string() + "-aside" + end; }

Result<std::unique_ptr<SQLite::Database>> open_tables(const fs::path& file) {
  auto opened = open_store(file, "NORMAL", table_migrations());
  const bool other = !opened && (opened.error().code == ErrorCode::kDamaged ||
                                 opened.error().code == ErrorCode::kUnsupported);
  if (other) {
    log_warning("coordinator", "{}: it is made again from the log", opened.error().message);
    std::error_code ignored;
    fs::remove(file.string() + "-shm", ignored);
    for (const char* end : {"-wal", ""}) fs::rename(file.string() + end, aside(file, end), ignored);
    opened = open_store(file, "NORMAL", table_migrations());
  }
  if (!opened) return opened;
  STRATA_CHECK_OK(from_sqlite("opening " + file.string(), [&] {
    (*opened)->exec("PRAGMA cache_size=-65536");  // KiB
    (*opened)->exec("PRAGMA wal_autocheckpoint=8192");
  }));
  return opened;
}

}  // namespace

fs::path tables_file(const fs::path& events_file) {
  const std::string name = events_file.filename().string();
  constexpr std::string_view kLog = "events";
  return events_file.parent_path() /
         (name.starts_with(kLog) ? "tables" + name.substr(kLog.size()) : name + "-tables");
}

struct Projector::State {
  explicit State(std::unique_ptr<SQLite::Database> opened)
      : database(std::move(opened)), derived(*database), run(*database) {}
  std::unique_ptr<SQLite::Database> database;
  DerivedTables derived;
  Statements run;

  void follow(Tip end) {
    run.run(
        "INSERT INTO follows (one, seq, chain, made_by) VALUES (1, ?, ?, ?) ON CONFLICT (one) DO "
        "UPDATE SET seq = excluded.seq, chain = excluded.chain, made_by = excluded.made_by",
        end.seq, end.chain, made_by_this());
  }
  // Nothing: of another build's code.
  std::optional<Tip> follows() {
    SQLite::Statement select(*database, "SELECT seq, chain FROM follows WHERE made_by = ?");
    Statements::bind(select, made_by_this());
    if (!select.executeStep()) return std::nullopt;
    return Tip{.seq = static_cast<std::uint64_t>(select.getColumn(0).getInt64()),
               .chain = static_cast<std::uint32_t>(select.getColumn(1).getInt64())};
  }
  Status limit(std::int64_t pages) {
    return strata::coordinator::limit_pages("limiting the derived tables", *database, pages);
  }
  bool has_rows() {
    return database
               ->execAndGet("SELECT EXISTS (SELECT 1 FROM follows) OR EXISTS (SELECT 1 FROM task)")
               .getInt64() != 0;
  }
  void clear() {
    for (const char* table : derived_table_names())
      database->exec(fmt::format("DELETE FROM {}", table));
  }
};

Result<std::unique_ptr<Projector>> Projector::open(const fs::path& events_file, Tip end) {
  STRATA_TRY(auto database, open_tables(tables_file(events_file)));
  auto projector = std::unique_ptr<Projector>(
      new Projector(events_file, std::make_unique<State>(std::move(database))));
  projector->thread_ = std::thread([raw = projector.get(), end] { raw->work(end); });
  return projector;
}

Projector::Projector(fs::path events_file, std::unique_ptr<State> state)
    : events_file_(std::move(events_file)), state_(std::move(state)) {}

Projector::~Projector() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool Projector::is_full() const {
  return (events_waiting_ >= most_waiting_ || bytes_waiting_ >= kProjectedBytesMax) &&
         stopped_.empty();
}

bool Projector::has_room() const {
  const std::lock_guard lock(mutex_);
  return !is_full();
}

void Projector::push(Projection projection) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !is_full(); });
  if (!stopped_.empty()) return;
  events_waiting_ += projection.events->size();
  bytes_waiting_ += projection.bytes;
  waiting_.push_back(std::move(projection));
  lock.unlock();
  changed_.notify_all();
}

std::uint64_t Projector::reached() const {
  const std::lock_guard lock(mutex_);
  return reached_;
}

std::string Projector::failing() const {
  const std::lock_guard lock(mutex_);
  return failing_;
}

void Projector::make_anew(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    differ_ = why;
  }
  changed_.notify_all();
}

void Projector::limit(std::int64_t pages, std::size_t events) {
  {
    const std::lock_guard lock(mutex_);
    pages_ = pages;
    most_waiting_ = events > 0 ? events : kProjectedEventsMax;
  }
  changed_.notify_all();
}

Status Projector::wait(std::uint64_t seq, std::chrono::milliseconds most) const {
  std::unique_lock lock(mutex_);
  const bool there = changed_.wait_for(lock, most, [&] {
    return reached_ >= seq || !failing_.empty() || !stopped_.empty() || ending_;
  });
  if (reached_ >= seq) return {};
  if (!stopped_.empty())
    return fail(ErrorCode::kUnavailable, "the derived tables are not written any more: {}",
                stopped_);
  if (!failing_.empty())
    return fail(ErrorCode::kUnavailable,
                "the derived tables hold events up to {}, the log has {}, and no more can be "
                "written now: {}",
                reached_, seq, failing_);
  return fail(ErrorCode::kUnavailable,
              "the derived tables hold events up to {} and the log has {}: ask again{}", reached_,
              seq, there ? "" : " in a moment");
}

void Projector::set_reached(std::uint64_t seq) {
  {
    const std::lock_guard lock(mutex_);
    reached_ = std::max(reached_, seq);
  }
  changed_.notify_all();
}

bool Projector::is_ending() const {
  const std::lock_guard lock(mutex_);
  return ending_;
}

// False: there is no time for another try.
bool Projector::wait_to_retry() {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kTablesRetry, [&] { return ending_ || pages_.has_value(); });
  return !ending_;
}

void Projector::note(const Status& tried) {
  const std::string failing = tried ? std::string() : tried.error().message;
  {
    const std::lock_guard lock(mutex_);
    if (ending_ || failing == failing_) return;
    if (failing_.empty() || failing.empty()) {
      if (tried)
        log_info("coordinator", "the derived tables can be written again");
      else
        log_error("coordinator", "the derived tables stay at event {}: {}; tried again every {} s",
                  reached_, failing, std::chrono::duration<double>(kTablesRetry).count());
    }
    failing_ = failing;
  }
  changed_.notify_all();
}

// What time may heal is tried again.
Status Projector::until_done(const std::function<Status()>& doing) {
  while (true) {
    std::optional<std::int64_t> pages;
    {
      const std::lock_guard lock(mutex_);
      pages.swap(pages_);
    }
    if (pages) STRATA_CHECK_OK(state_->limit(*pages));
    Status done = doing();
    if (!done && done.error().code != ErrorCode::kUnavailable) return done;
    note(done);
    if (done || !wait_to_retry()) return done;
  }
}

void Projector::work(Tip end) {
  Status done = until_done([&] { return catch_up(end); });
  if (!done) done = made_anew(end, done.error());
  if (done) {
    std::error_code ignored;  // all that they knew is there again
    for (const char* part : {"", "-wal"})
      fs::remove(aside(tables_file(events_file_), part), ignored);
  }
  std::vector<Projection> batch;
  while (done) {
    std::size_t events = 0;
    std::size_t bytes = 0;
    std::string differ;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ending_ || !waiting_.empty() || !differ_.empty(); });
      differ.swap(differ_);
      if (waiting_.empty() && (ending_ || differ.empty())) return;
      for (; !waiting_.empty() && events < kProjectedAtOnceMax; waiting_.pop_front()) {
        events += waiting_.front().events->size();
        bytes += waiting_.front().bytes;
        batch.push_back(std::move(waiting_.front()));
      }
    }
    if (!batch.empty()) end = batch.back().end;
    if (!differ.empty() && !made_anew_) {
      done = made_anew(end, {ErrorCode::kDamaged, differ});
    } else if (!batch.empty()) {
      done = until_done([&] { return write(batch); });
      if (!done) done = made_anew(end, done.error());
    }
    if (done) set_reached(end.seq);
    batch.clear();
    const std::lock_guard lock(mutex_);
    events_waiting_ -= events;
    bytes_waiting_ -= bytes;
    changed_.notify_all();
  }
  const std::lock_guard lock(mutex_);
  stopped_ = done.error().message;
  waiting_.clear();
  if (!ending_)
    log_error("coordinator", "the derived tables are not written any more: {}", stopped_);
  changed_.notify_all();
}

// Rows that the log does not give stand in the way of those that it gives: all are made again. Not
// where the log is damaged, and not twice.
Status Projector::made_anew(Tip end, const Error& why) {
  if (why.code == ErrorCode::kUnavailable || log_is_damaged_ || made_anew_)
    return tl::unexpected(why);
  made_anew_ = true;
  from_zero_ = true;
  log_warning("coordinator", "{}: the derived tables are made again from the log", why.message);
  {
    const std::lock_guard lock(mutex_);
    reached_ = 0;
  }
  return until_done([&] { return catch_up(end); });
}

Status Projector::write(const std::vector<Projection>& batch) {
  return from_sqlite("writing the derived tables", [&] {
    SQLite::Transaction transaction(*state_->database, SQLite::TransactionBehavior::IMMEDIATE);
    state_->derived.begin();
    for (const Projection& one : batch) state_->derived.add(*one.events);
    state_->derived.finish(newest_rows(batch));
    state_->follow(batch.back().end);
    transaction.commit();
  });
}

// What the log's damage ends is ended for good: they know more than what is left of it.
Status Projector::of_log(Status read) {
  if (!read && read.error().code != ErrorCode::kUnavailable) log_is_damaged_ = true;
  return read;
}

Status Projector::read_log(const std::function<Status(const StoredEvent&)>& visit) {
  Status written;
  const auto damage = read_events(events_file_, [&](const StoredEvent& stored) -> Status {
    if (is_ending()) return fail(ErrorCode::kUnavailable, "{}", kEnding);
    written = visit(stored);
    return written;
  });
  if (!log_is_damaged_) STRATA_CHECK_OK(written);
  if (!damage) return of_log(tl::unexpected(damage.error()));
  if (!*damage) return {};
  return of_log(fail(ErrorCode::kDamaged, "event {}: {}", (*damage)->seq, (*damage)->what));
}

// Up to which event they can be believed; nothing: they are to be made anew, and may be, since the
// log is whole or there are no rows. Where it is damaged they stay as they are.
Result<std::optional<Tip>> Projector::where_to_begin(Tip end) {
  std::optional<Tip> from;
  bool rows = false;
  STRATA_CHECK_OK(from_sqlite("reading the derived tables", [&] {
    if (!from_zero_) from = state_->follows();
    rows = state_->has_rows();
  }));
  if (from) {
    auto log = open_damaged(events_file_);
    if (!log) return tl::unexpected(of_log(tl::unexpected(log.error())).error());
    STRATA_CHECK_OK(of_log(from_sqlite("reading the event log", [&] {
      if (from->seq > end.seq || chain_at(**log, from->seq) != from->chain) from.reset();
    })));
  }
  if (from || !rows) return from;
  Cluster whole;
  STRATA_CHECK_OK(read_log([&](const StoredEvent& stored) {
    Status applied = whole.apply_checked(stored.event);
    whole.forget_touched();
    return of_log(std::move(applied));
  }));
  return from;
}

// Tables that do not follow from this log are made anew.
Status Projector::catch_up(Tip end) {
  STRATA_TRY(const std::optional<Tip> from, where_to_begin(end));
  if (from) set_reached(from->seq);
  if (from && from->seq == end.seq) return {};
  bool clear = !from;
  const std::uint64_t after = from ? from->seq : 0;
  Cluster cluster;
  Tip at{};
  std::vector<Event> events;
  const auto flush = [&]() -> Status {
    STRATA_CHECK_OK(from_sqlite("writing the derived tables", [&] {
      SQLite::Transaction transaction(*state_->database, SQLite::TransactionBehavior::IMMEDIATE);
      if (clear) state_->clear();
      state_->derived.begin();
      state_->derived.add(events);
      state_->derived.finish(rows_of(cluster.take_touched(), cluster));
      state_->follow(at);
      transaction.commit();
    }));
    clear = false;
    from_zero_ = false;
    events.clear();
    set_reached(at.seq);
    return {};
  };
  const Status read = read_log([&](const StoredEvent& stored) -> Status {
    if (stored.seq > end.seq) return {};
    STRATA_CHECK_OK(of_log(cluster.apply_checked(stored.event)));
    at = {.seq = stored.seq, .chain = stored.chain};
    if (stored.seq <= after) {
      cluster.forget_touched();
      return {};
    }
    events.push_back(stored.event);
    return events.size() < kCaughtUpAtOnce ? Status() : flush();
  });
  // What was read before damage is written, too.
  if ((read || log_is_damaged_) && (!events.empty() || clear)) STRATA_CHECK_OK(flush());
  return read;
}

}  // namespace strata::coordinator

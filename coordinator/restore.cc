#include "coordinator/restore.h"

#include "base/log.h"
#include "coordinator/event_store.h"
#include "coordinator/migrations.h"
#include "coordinator/mirror_folder.h"
#include "coordinator/sqlite.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kEventsPerCommit = 2'000;
constexpr const char* kScratch = "restoring";

struct LocalStore {
  std::string coordinator{};
  std::uint64_t last_seq = 0;
  std::uint32_t chain = 0;
};

// Nothing when there is no store, or one without events.
Result<std::optional<LocalStore>> local_store(const fs::path& events_file) {
  std::error_code ignored;
  if (!fs::exists(events_file, ignored)) return std::optional<LocalStore>();
  auto local = from_sqlite(
      fmt::format("looking into {}", events_file.string()), [&]() -> std::optional<LocalStore> {
        const SQLite::Database database(events_file.string(), SQLite::OPEN_READONLY,
                                        kBusyTimeoutMs);
        if (!database.tableExists("event")) return std::nullopt;
        SQLite::Statement last(database, "SELECT seq, chain FROM event ORDER BY seq DESC LIMIT 1");
        if (!last.executeStep()) return std::nullopt;
        SQLite::Statement name(database, "SELECT value FROM store WHERE name = 'coordinator'");
        name.executeStep();
        return LocalStore{.coordinator = name.getColumn(0).getString(),
                          .last_seq = static_cast<std::uint64_t>(last.getColumn(0).getInt64()),
                          .chain = static_cast<std::uint32_t>(last.getColumn(1).getInt64())};
      });
  if (local) return local;
  return tl::unexpected(Error{local.error().code, local.error().message +
                                                      "; if the mirror is to replace this store, "
                                                      "move it away first"});
}

Status refuse_newer(const LocalStore& local, const MirrorState& mirror, const fs::path& store,
                    const fs::path& folder) {
  if (local.coordinator != mirror.coordinator) {
    return fail(ErrorCode::kConflict,
                "{} holds a store of its own ({}), {} the mirror of another one ({}): name "
                "another store folder",
                store.string(), local.coordinator, folder.string(), mirror.coordinator);
  }
  if (local.last_seq <= mirror.last_seq) return {};
  return fail(ErrorCode::kConflict,
              "the store {} has events up to {}, the mirror {} only up to {}: start without "
              "--restore, and nothing is lost; or move the store away",
              store.string(), local.last_seq, folder.string(), mirror.last_seq);
}

// Writes the mirror's events into an empty store, through the code that wrote the mirrored one.
class Rebuild {
 public:
  explicit Rebuild(EventStore store) : store_(std::move(store)) {}

  Status add(const EventRecord& record) {
    if (record.seq != last_ + 1) return fail(ErrorCode::kDamaged, "event {} is missing", last_ + 1);
    if (record.chain != chained(chain_, record.seq, record.frame))
      return fail(ErrorCode::kDamaged, "event {} does not fit the checksum chain", record.seq);
    STRATA_TRY(Event event, decode_event(record.frame));
    STRATA_CHECK_OK(cluster_.apply_checked(event));
    events_.push_back(std::move(event));
    frames_.emplace_back(record.frame);
    last_ = record.seq;
    chain_ = record.chain;
    return events_.size() < kEventsPerCommit ? Status() : write();
  }
  Status skip_attempts() {
    STRATA_CHECK_OK(write());
    const std::vector<Event> restored{
        {.at = SystemClock().wall(),
         .body = StoreRestored{.attempts_above = cluster_.newest_attempt() + kAttemptsSkipped}}};
    STRATA_CHECK_OK(cluster_.apply_checked(restored[0]));
    ++last_;
    return store_.commit(restored, cluster_.take_touched(), cluster_);
  }
  Status write() {
    if (events_.empty()) return {};
    STRATA_CHECK_OK(store_.commit_frames(frames_, events_, cluster_.take_touched(), cluster_));
    events_.clear();
    frames_.clear();
    return {};
  }
  [[nodiscard]] std::uint64_t last_seq() const { return last_; }
  [[nodiscard]] std::uint32_t chain() const { return chain_; }

 private:
  EventStore store_;
  Cluster cluster_;
  std::vector<Event> events_;
  std::vector<std::string> frames_;
  std::uint64_t last_ = 0;
  std::uint32_t chain_ = 0;
};

Result<std::uint64_t> rebuild_events(const MirrorFolder& mirror, const MirrorState& state,
                                     const fs::path& file) {
  STRATA_TRY(EventStore store, EventStore::open(file, state.coordinator));
  Rebuild rebuild(std::move(store));
  for (const MirrorSegment& segment : state.segments) {
    STRATA_CHECK_OK(read_records(mirror.events_file(segment.life), segment.events_bytes,
                                 [&](std::string_view payload) -> Status {
                                   STRATA_TRY(const EventRecord record,
                                              parse_event_payload(payload));
                                   return rebuild.add(record);
                                 }));
  }
  STRATA_CHECK_OK(rebuild.write());
  if (rebuild.last_seq() != state.last_seq || rebuild.chain() != state.chain) {
    return fail(ErrorCode::kDamaged, "the mirror {} ends with event {}, not with {} as it says",
                mirror.path().string(), rebuild.last_seq(), state.last_seq);
  }
  if (!state.clean) STRATA_CHECK_OK(rebuild.skip_attempts());
  return rebuild.last_seq();
}

Status rebuild_points(const MirrorFolder& mirror, const MirrorState& state, const fs::path& file) {
  STRATA_TRY(const auto database, open_store(file, "FULL", metric_migrations()));
  Statements run(*database);
  STRATA_TRY(
      const Status copied, from_sqlite("writing metric points", [&]() -> Status {
        SQLite::Transaction transaction(*database);
        const auto add = [&](std::string_view payload) -> Status {
          STRATA_TRY(const PointRecord point, parse_point_payload(payload));
          run.run("INSERT INTO series (task, attempt) VALUES (?, ?) ON CONFLICT DO NOTHING",
                  point.task, point.attempt);
          run.run(
              "INSERT INTO point (series, sequence, step, total, at_ms, metrics) VALUES ((SELECT "
              "id FROM series WHERE task = ? AND attempt = ?), ?, ?, ?, ?, ?) ON CONFLICT DO "
              "NOTHING",
              point.task, point.attempt, point.sequence, point.step, point.total, point.at_ms,
              point.metrics);
          return {};
        };
        for (const MirrorSegment& segment : state.segments) {
          STRATA_CHECK_OK(
              read_records(mirror.metrics_file(segment.life), segment.metrics_bytes, add));
        }
        transaction.commit();
        return {};
      }));
  return copied;
}

Status move_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  if (!fs::exists(from, error)) return {};
  fs::rename(from, to, error);
  if (!error) return {};
  return fail(ErrorCode::kUnavailable, "moving {} to {}: {}", from.string(), to.string(),
              error.message());
}

// The folder's databases, with what SQLite keeps beside them.
Status put_aside(const StoreFolder& folder, const fs::path& to) {
  STRATA_CHECK_OK(make_folder(to));
  for (const fs::path& file : {folder.events_file(), folder.metrics_file()}) {
    for (const char* end : {"-wal", "-shm", ""}) {
      const fs::path one = file.string() + end;
      STRATA_CHECK_OK(move_file(one, to / one.filename()));
    }
  }
  return {};
}

}  // namespace

Result<Restored> restore_store(const StoreFolder& folder, const fs::path& mirror_path) {
  const MirrorFolder mirror(fs::absolute(mirror_path));
  STRATA_TRY(const auto state, mirror.state());
  if (!state) {
    return fail(ErrorCode::kNotFound, "restoring: there is no mirror in {}",
                mirror.path().string());
  }
  STRATA_CHECK_OK(mirror.refuse_while_kept(*state));
  STRATA_CHECK_OK(mirror.check_files(*state));
  STRATA_TRY(const auto local, local_store(folder.events_file()));
  Restored restored{.events = state->last_seq, .whole = state->clean};
  if (local) {
    STRATA_CHECK_OK(refuse_newer(*local, *state, folder.path(), mirror.path()));
    const bool same = local->last_seq == state->last_seq && local->chain == state->chain;
    if (same && state->clean) return restored;
  }
  // All of it is made beside first: an end in the middle leaves what was there.
  const fs::path scratch = folder.path() / kScratch;
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  STRATA_CHECK_OK(make_folder(scratch));
  STRATA_TRY(restored.events, rebuild_events(mirror, *state, scratch / "events.sqlite"));
  STRATA_CHECK_OK(rebuild_points(mirror, *state, scratch / "metrics.sqlite"));
  STRATA_TRY(const std::string keys, read_file(mirror.keys_file()));
  STRATA_CHECK_OK(write_file_atomic(folder.keys_file(), keys, 0600));
  if (fs::exists(folder.events_file(), ignored)) {
    const fs::path aside = folder.path() / fmt::format("replaced-{}", SystemClock().wall().unix_ms);
    STRATA_CHECK_OK(put_aside(folder, aside));
    restored.replaced = aside.string();
  }
  STRATA_CHECK_OK(move_file(scratch / "metrics.sqlite", folder.metrics_file()));
  STRATA_CHECK_OK(
      move_file(scratch / "events.sqlite", folder.events_file()));  // the last: now it is one
  fs::remove_all(scratch, ignored);
  restored.copied = true;
  return restored;
}

}  // namespace strata::coordinator

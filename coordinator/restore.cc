#include "coordinator/restore.h"

#include "base/log.h"
#include "coordinator/log_copy.h"
#include "coordinator/migrations.h"
#include "coordinator/mirror_folder.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_files.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

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

Result<std::uint64_t> rebuild_events(const MirrorFolder& mirror, const MirrorState& state,
                                     const fs::path& file) {
  STRATA_TRY(LogCopy copy, LogCopy::open(file, state.coordinator));
  for (const MirrorSegment& segment : state.segments) {
    STRATA_CHECK_OK(read_records(mirror.events_file(segment.life), segment.events_bytes,
                                 [&](std::string_view payload) -> Status {
                                   STRATA_TRY(const EventRecord record,
                                              parse_event_payload(payload));
                                   return copy.add(record.seq, record.chain, record.frame);
                                 }));
  }
  STRATA_CHECK_OK(copy.write());
  if (copy.last_seq() != state.last_seq || copy.chain() != state.chain) {
    return fail(ErrorCode::kDamaged, "the mirror {} ends with event {}, not with {} as it says",
                mirror.path().string(), copy.last_seq(), state.last_seq);
  }
  if (!state.clean) STRATA_CHECK_OK(copy.skip_attempts());
  return copy.last_seq();
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
  STRATA_TRY(restored.replaced, replace_databases(folder, scratch));
  restored.copied = true;
  return restored;
}

}  // namespace strata::coordinator

#include "coordinator/restore.h"

#include <functional>

#include "base/log.h"
#include "coordinator/backup.h"
#include "coordinator/event_log.h"
#include "coordinator/fsck.h"
#include "coordinator/log_copy.h"
#include "coordinator/migrations.h"
#include "coordinator/mirror_folder.h"
#include "coordinator/salvage.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_files.h"
#include "coordinator/store_name.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

constexpr const char* kScratch = "restoring";

struct LocalStore {
  std::string coordinator{};   // empty: it cannot be read
  std::uint64_t last_seq = 0;  // the newest event that can be believed
  std::uint32_t chain = 0;
  std::string damage{};
};

// False for a file that an interrupted first start has left.
Result<bool> has_log(const fs::path& events_file) {
  STRATA_TRY(const auto database, open_damaged(events_file));
  return from_sqlite(fmt::format("looking into {}", events_file.string()),
                     [&] { return has_old_rows(*database) || database->tableExists("batch"); });
}

// Its events, the first of which cannot be believed ends them.
Result<std::string> read_local(const fs::path& events_file, LocalStore& local) {
  Cluster cluster;
  STRATA_TRY(const auto damage, read_events(events_file, [&](const StoredEvent& stored) -> Status {
               STRATA_CHECK_OK(cluster.apply_checked(stored.event));
               cluster.forget_touched();
               local.last_seq = stored.seq;
               local.chain = stored.chain;
               return {};
             }));
  if (damage) return fmt::format("event {}: {}", damage->seq, damage->what);
  STRATA_TRY(const std::string structure, structural_damage(events_file));
  return structure.empty() ? damage_of_name(events_file) : structure;
}

// Nothing when there is no store, or a sound one without events. All of it is read: of a damaged
// one, what can be believed.
Result<std::optional<LocalStore>> local_store(const StoreFolder& folder) {
  std::error_code ignored;
  const fs::path events_file = folder.events_file();
  if (!fs::exists(events_file, ignored)) return std::optional<LocalStore>();
  LocalStore local{.coordinator = believed_name(events_file)};
  const auto there = has_log(events_file);
  if (there && !*there) return std::optional<LocalStore>();
  auto read = there ? read_local(events_file, local) : tl::unexpected(there.error());
  if (!read && read.error().code != ErrorCode::kDamaged) return tl::unexpected(read.error());
  local.damage = read ? *read : read.error().message;
  if (local.damage.empty() && local.last_seq == 0) return std::optional<LocalStore>();
  if (local.damage.empty()) local.damage = damage_of_points(folder.metrics_file());
  return std::optional<LocalStore>(std::move(local));
}

// What a store can be made from.
struct Source {
  const char* kind = "mirror";
  fs::path folder{};
  std::string coordinator{};
  std::uint64_t last_seq = 0;
  std::uint32_t chain = 0;
  bool whole = false;  // nothing was committed after it
  std::function<Status(LogCopy&)> events{};
  std::function<Status(const fs::path&)> points{};
};

Status refuse_newer(const LocalStore& local, const Source& source, const fs::path& store) {
  if (!local.coordinator.empty() && local.coordinator != source.coordinator) {
    return fail(ErrorCode::kConflict,
                "{} holds a store of its own ({}), {} the {} of another one ({}): name "
                "another store folder",
                store.string(), local.coordinator, source.folder.string(), source.kind,
                source.coordinator);
  }
  if (local.last_seq <= source.last_seq) return {};
  if (!local.damage.empty()) {
    return fail(ErrorCode::kConflict,
                "the store {} is damaged ({}), but its events can be read up to {}, and the {} {} "
                "has only those up to {}: `strata-coordinator fsck --store {} --repair "
                "--drop-damaged` goes on with what can be read; or move the store away",
                store.string(), local.damage, local.last_seq, source.kind, source.folder.string(),
                source.last_seq, store.string());
  }
  return fail(ErrorCode::kConflict,
              "the store {} has events up to {}, the {} {} only up to {}: start without "
              "--restore, and nothing is lost; or move the store away",
              store.string(), local.last_seq, source.kind, source.folder.string(), source.last_seq);
}

Result<std::uint64_t> rebuild_events(const Source& source, const fs::path& file) {
  STRATA_TRY(LogCopy copy, LogCopy::open(file, source.coordinator));
  STRATA_CHECK_OK(source.events(copy));
  STRATA_CHECK_OK(copy.write());
  if (copy.last_seq() != source.last_seq || copy.chain() != source.chain) {
    return fail(ErrorCode::kDamaged, "the {} {} ends with event {}, not with {} as it says",
                source.kind, source.folder.string(), copy.last_seq(), source.last_seq);
  }
  if (!source.whole) STRATA_CHECK_OK(copy.skip_attempts());
  return copy.last_seq();
}

Status copy_events(const MirrorFolder& mirror, const MirrorState& state, LogCopy& copy) {
  for (const MirrorSegment& segment : state.segments) {
    STRATA_CHECK_OK(read_records(mirror.events_file(segment.life), segment.events_bytes,
                                 [&](std::string_view payload) -> Status {
                                   STRATA_TRY(const EventRecord record,
                                              parse_event_payload(payload));
                                   return copy.add(record.seq, record.chain, record.frame);
                                 }));
  }
  return {};
}

Status rebuild_points(const MirrorFolder& mirror, const MirrorState& state, const fs::path& file) {
  STRATA_TRY(const auto database, open_store(file, "FULL", metric_migrations()));
  Statements run(*database);
  return from_sqlite("writing metric points", [&]() -> Status {
    SQLite::Transaction transaction(*database);
    const auto add = [&](std::string_view payload) -> Status {
      STRATA_TRY(const PointRecord point, parse_point_payload(payload));
      run.run("INSERT INTO series (task, attempt) VALUES (?, ?) ON CONFLICT DO NOTHING", point.task,
              point.attempt);
      run.run(
          "INSERT INTO point (series, sequence, step, total, at_ms, metrics) VALUES ((SELECT "
          "id FROM series WHERE task = ? AND attempt = ?), ?, ?, ?, ?, ?) ON CONFLICT DO "
          "NOTHING",
          point.task, point.attempt, point.sequence, point.step, point.total, point.at_ms,
          point.metrics);
      return {};
    };
    for (const MirrorSegment& segment : state.segments) {
      STRATA_CHECK_OK(read_records(mirror.metrics_file(segment.life), segment.metrics_bytes, add));
    }
    transaction.commit();
    return {};
  });
}

Result<Source> mirror_source(const fs::path& path) {
  const MirrorFolder mirror(path);
  STRATA_TRY(const auto state, mirror.state());
  if (!state) {
    return fail(ErrorCode::kNotFound, "restoring: there is neither a mirror nor a backup in {}",
                mirror.path().string());
  }
  STRATA_CHECK_OK(mirror.refuse_while_kept(*state));
  STRATA_CHECK_OK(mirror.check_files(*state));
  return Source{
      .folder = path,
      .coordinator = state->coordinator,
      .last_seq = state->last_seq,
      .chain = state->chain,
      .whole = state->clean,
      .events = [mirror, s = *state](LogCopy& copy) { return copy_events(mirror, s, copy); },
      .points = [mirror, s = *state](const fs::path& to) { return rebuild_points(mirror, s, to); }};
}

Result<Source> backup_source(const fs::path& path) {
  STRATA_TRY(const Backup backup, read_backup(path));
  const auto copy_log = [path](LogCopy& copy) -> Status {
    STRATA_TRY(const auto damage,
               read_events(path / "events.sqlite", [&](const StoredEvent& stored) {
                 return copy.add(stored.seq, stored.chain, stored.frame);
               }));
    if (!damage) return {};
    return fail(ErrorCode::kDamaged, "the backup {} is damaged at event {}: {}", path.string(),
                damage->seq, damage->what);
  };
  const auto copy_points = [path](const fs::path& to) -> Status {
    STRATA_TRY(const SalvagedPoints copied, salvage_points(path / "metrics.sqlite", to));
    if (copied.damage.empty()) return {};
    return fail(ErrorCode::kDamaged, "the metric points of the backup {} are damaged: {}",
                path.string(), copied.damage);
  };
  return Source{.kind = "backup",
                .folder = path,
                .coordinator = backup.coordinator,
                .last_seq = backup.events,
                .chain = backup.chain,
                .whole = false,
                .events = copy_log,
                .points = copy_points};
}

}  // namespace

Result<Restored> restore_store(const StoreFolder& folder, const fs::path& from) {
  const fs::path path = fs::absolute(from);
  STRATA_TRY(const Source source, is_backup(path) ? backup_source(path) : mirror_source(path));
  STRATA_TRY(const auto local, local_store(folder));
  Restored restored{.events = source.last_seq, .whole = source.whole};
  if (local) {
    STRATA_CHECK_OK(refuse_newer(*local, source, folder.path()));
    const bool same = local->last_seq == source.last_seq && local->chain == source.chain;
    if (same && source.whole && local->damage.empty()) return restored;
    if (!local->damage.empty()) {
      log_warning("coordinator", "the store {} is damaged ({}): it gives way to the {} {}",
                  folder.path().string(), local->damage, source.kind, source.folder.string());
    }
  }
  // All of it is made beside first: an end in the middle leaves what was there.
  const fs::path scratch = folder.path() / kScratch;
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  STRATA_CHECK_OK(make_folder(scratch));
  STRATA_TRY(restored.events, rebuild_events(source, scratch / "events.sqlite"));
  STRATA_CHECK_OK(source.points(scratch / "metrics.sqlite"));
  STRATA_TRY(const std::string keys, read_file(path / "keys.json"));
  STRATA_CHECK_OK(write_file_atomic(folder.keys_file(), keys, 0600));
  STRATA_TRY(restored.replaced, replace_databases(folder, scratch));
  restored.copied = true;
  return restored;
}

}  // namespace strata::coordinator

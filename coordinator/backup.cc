#include "coordinator/backup.h"

#include <SQLiteCpp/Backup.h>

#include "base/clock.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "coordinator/event_store.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_files.h"
#include "coordinator/store_tip.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMarker = "backup.json";

// All of it in one read transaction: what is committed meanwhile is not in it.
Status copy_database(const fs::path& from, const fs::path& to) {
  STRATA_TRY(const auto source, open_reader(from));
  return from_sqlite(fmt::format("copying {}", from.string()), [&] {
    SQLite::Database target(to.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE,
                            kBusyTimeoutMs);
    SQLite::Backup copy(target, *source);
    copy.executeStep(-1);
  });
}

Status check_structure(const fs::path& file) {
  STRATA_TRY(const std::string damage, structural_damage(file));
  if (damage.empty()) return {};
  return fail(ErrorCode::kDamaged, "the copy of {} is not sound: {}; see `strata-coordinator fsck`",
              file.filename().string(), damage);
}

// By reading it as a coordinator does at its start.
Status verify(const fs::path& folder, Backup& backup) {
  const fs::path events = folder / "events.sqlite";
  STRATA_CHECK_OK(check_structure(events));
  STRATA_CHECK_OK(check_structure(folder / "metrics.sqlite"));
  Cluster cluster;
  STRATA_TRY(const auto damage, read_events(events, [&](const StoredEvent& stored) {
               backup.events = stored.seq;
               backup.chain = stored.chain;
               return cluster.apply_checked(stored.event);
             }));
  if (damage) {
    return fail(ErrorCode::kDamaged,
                "the event log is damaged at event {} ({}): there is nothing sound to back up; see "
                "`strata-coordinator fsck`",
                damage->seq, damage->what);
  }
  STRATA_TRY(const auto log, open_reader(events));
  STRATA_TRY(const auto metrics, open_reader(folder / "metrics.sqlite"));
  return from_sqlite("counting", [&] {
    backup.coordinator =
        log->execAndGet("SELECT value FROM store WHERE name = 'coordinator'").getString();
    backup.points =
        static_cast<std::uint64_t>(metrics->execAndGet("SELECT count(*) FROM point").getInt64());
  });
}

Result<Backup> fill(const fs::path& store, const fs::path& folder) {
  Backup backup{.taken_ms = SystemClock().wall().unix_ms};
  const auto tip = read_tip(store / "events.sqlite");
  // Points first: so there is none of an attempt that the log does not know.
  for (const char* name : {"metrics.sqlite", "events.sqlite"})
    STRATA_CHECK_OK(copy_database(store / name, folder / name));
  STRATA_CHECK_OK(verify(folder, backup));
  if (tip && tip->seq > backup.events) {
    return fail(ErrorCode::kDamaged,
                "the log of {} ends with event {}, and events up to {} were committed; see "
                "`strata-coordinator fsck`",
                store.string(), backup.events, tip->seq);
  }
  STRATA_TRY(const TipWriter writer, TipWriter::open(folder / "events.sqlite"));
  writer.write({.seq = backup.events, .chain = backup.chain});
  STRATA_TRY(const std::string keys, read_file(store / "keys.json"));
  STRATA_CHECK_OK(write_file_atomic(folder / "keys.json", keys, 0600));
  std::error_code ignored;
  for (const char* name : {"events.sqlite", "metrics.sqlite"}) {
    backup.bytes += fs::file_size(folder / name, ignored);
    for (const char* end : {"-wal", "-shm"})
      fs::remove(folder / (std::string(name) + end), ignored);
  }
  STRATA_CHECK_OK(write_file_atomic(folder / kMarker, to_pretty_json(backup.value()) + "\n", 0600));
  return backup;
}

}  // namespace

Value Backup::value() const {
  return Object{{"coordinator", coordinator}, {"events", events}, {"chain", std::int64_t{chain}},
                {"points", points},           {"bytes", bytes},   {"taken_ms", taken_ms}};
}

Result<Backup> take_backup(const fs::path& store, const fs::path& to) {
  std::error_code error;
  if (fs::exists(to, error))
    return fail(ErrorCode::kConflict, "{} exists: name a new folder for the backup", to.string());
  if (!fs::exists(store / "events.sqlite", error)) {
    return fail(ErrorCode::kNotFound, "there is no store in {}; is --store right?", store.string());
  }
  const fs::path parent = fs::absolute(to).parent_path();
  STRATA_CHECK_OK(make_folder(parent));
  STRATA_TRY(const fs::path scratch,
             make_temporary_folder(parent, to.filename().string() + ".partial-"));
  auto backup = fill(store, scratch);
  if (backup) {
    // SQLite has synced its files; their names are synced here.
    if (const Status synced = sync_path(scratch); !synced) backup = tl::unexpected(synced.error());
  }
  if (backup) {
    fs::rename(scratch, to, error);
    if (!error) {
      STRATA_CHECK_OK(sync_path(parent));
      return backup;
    }
    backup =
        fail(ErrorCode::kUnavailable, "moving the backup to {}: {}", to.string(), error.message());
  }
  fs::remove_all(scratch, error);
  return backup;
}

bool is_backup(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / kMarker, ignored);
}

Result<Backup> read_backup(const fs::path& folder) {
  STRATA_TRY(const std::string text, read_file(folder / kMarker));
  STRATA_TRY(const Value value, parse_json(text));
  Fields fields(value, (folder / kMarker).string());
  Backup backup{.coordinator = fields.text("coordinator"),
                .events = static_cast<std::uint64_t>(fields.integer("events")),
                .chain = static_cast<std::uint32_t>(fields.integer("chain")),
                .points = static_cast<std::uint64_t>(fields.integer("points")),
                .bytes = static_cast<std::uint64_t>(fields.integer("bytes")),
                .taken_ms = fields.integer("taken_ms")};
  STRATA_CHECK_OK(fields.finish());
  return backup;
}

}  // namespace strata::coordinator

#include "coordinator/fsck.h"

#include <SQLiteCpp/Savepoint.h>

#include <limits>

#include "base/files.h"
#include "base/json.h"
#include "coordinator/derived_tables.h"
#include "coordinator/event_log.h"
#include "coordinator/metric_store.h"
#include "coordinator/migrations.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_name.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kEventsPerTransaction = 2'000;

// Writes events into an empty database through the code that writes the real one.
class Rebuild {
 public:
  explicit Rebuild(std::unique_ptr<SQLite::Database> database)
      : database_(std::move(database)), derived_(*database_) {}

  Status add(const Event& event) {
    STRATA_CHECK_OK(cluster_.apply_checked(event));
    waiting_.push_back(event);
    return waiting_.size() < kEventsPerTransaction ? Status{} : write();
  }
  // Beyond the event up to which the stored tables go.
  Status check(const Event& event) { return cluster_.apply_checked(event); }
  Status write() {
    return from_sqlite("rebuilding the derived tables", [&] {
      SQLite::Savepoint some(*database_, "some");  // perhaps within a transaction
      derived_.begin();
      derived_.add(waiting_);
      derived_.finish(rows_of(cluster_.take_touched(), cluster_));
      some.release();
      waiting_.clear();
    });
  }
  SQLite::Database& database() { return *database_; }

 private:
  std::unique_ptr<SQLite::Database> database_;
  DerivedTables derived_;
  Cluster cluster_;
  std::vector<Event> waiting_;
};

std::string row_text(SQLite::Statement& select) {
  constexpr std::size_t kShownBytes = 60;  // of a column
  std::string text;
  for (int i = 0; i < select.getColumnCount(); ++i) {
    const SQLite::Column column = select.getColumn(i);
    std::string value = column.isNull() ? "null" : column.getString();
    if (value.size() > kShownBytes) value = value.substr(0, kShownBytes) + "...";
    text += fmt::format("{}{}={}", i > 0 ? " " : "", column.getName(), value);
  }
  return text;
}

// An error is among the differences, too.
Status compare(SQLite::Database& database, const char* table,
               std::vector<TableDifference>& differences) {
  TableDifference difference{.table = table};
  const auto side = [&](const char* label, const char* here, const char* there) {
    SQLite::Statement select(
        database,
        fmt::format("SELECT * FROM {0}.{2} EXCEPT SELECT * FROM {1}.{2}", here, there, table));
    for (std::int64_t shown = 0; select.executeStep(); ++shown, ++difference.rows) {
      if (shown < kShownDifferences)
        difference.shown.push_back(fmt::format("{}: {}", label, row_text(select)));
    }
  };
  const Status compared = from_sqlite("comparing", [&] {
    side("stored", "stored", "main");
    side("rebuilt", "main", "stored");
  });
  if (!compared) {
    ++difference.rows;
    difference.shown.push_back("cannot be read: " + compared.error().message);
  }
  if (difference.rows > 0) differences.push_back(std::move(difference));
  return compared;
}

void attach_stored(SQLite::Database& database, const std::filesystem::path& tables) {
  SQLite::Statement attach(database, "ATTACH DATABASE ? AS stored");
  Statements::bind(attach, tables.string());
  attach.exec();
}

// All of the log, where they do not say.
std::uint64_t tables_reach(const std::filesystem::path& file) {
  std::uint64_t reached = std::numeric_limits<std::uint64_t>::max();
  auto database = open_reader(file);
  if (!database) return reached;
  const Status read = from_sqlite("reading the derived tables", [&] {
    SQLite::Statement select(**database, "SELECT seq FROM follows");
    if (select.executeStep()) reached = static_cast<std::uint64_t>(select.getColumn(0).getInt64());
  });
  static_cast<void>(read);
  return reached;
}

}  // namespace

std::string damage_of_name(const std::filesystem::path& file) {
  std::string damage;
  auto database = open_reader(file);
  if (!database) return damage;
  const Status read = from_sqlite("reading the store's name", [&] {
    if (log_end(**database).seq > 0) damage = name_damage(file, stored_name(**database));
  });
  static_cast<void>(read);  // what cannot be read is found by what follows
  return damage;
}

std::string damage_of_points(const std::filesystem::path& file) {
  std::error_code ignored;
  if (file.empty()) return "";
  if (!std::filesystem::exists(file, ignored)) return file.string() + " is gone";
  const auto found = structural_damage(file);
  if (!found) return found.error().message;
  const auto torn = torn_points(file);
  if (!torn) return torn.error().message;
  return found->empty() ? *torn : *found;
}

std::string FsckReport::text() const {
  std::string text = fmt::format("events read and in order: {}\n", events);
  if (!structure.empty()) text += "DAMAGED file: " + structure + "\n";
  if (!tables.empty()) text += "DAMAGED derived tables: " + tables + "\n";
  if (!points.empty()) text += "DAMAGED metric points: " + points + "\n";
  if (damage) {
    text += fmt::format("DAMAGED at event {}: {}\n", damage->seq, damage->what);
    text += fmt::format(
        "tasks that this and later events name: {}{}\n", damage->tasks.size(),
        damage->tasks.size() == static_cast<std::size_t>(kDamagedTasksMax) ? " or more" : "");
    for (const std::string& task : damage->tasks) text += "  " + task + "\n";
    return text + "the derived tables were not compared\n";
  }
  if (older > 0) {
    return text + fmt::format(
                      "derived tables: of an earlier build or not there, not compared; a "
                      "coordinator of this build makes them again at its start\n{}",
                      sound() ? "sound\n" : "");
  }
  if (!tables.empty())
    return text + "the log is whole: a coordinator makes the tables again at its start\n";
  if (differences.empty()) {
    return text + "derived tables: as the log gives them\n" +
           (sound() ? "sound\n" : "the log is whole: `fsck --repair` loses none of its events\n");
  }
  for (const TableDifference& difference : differences) {
    text += fmt::format("DIFFERENT: table {}: {} rows\n", difference.table, difference.rows);
    for (const std::string& row : difference.shown) text += "  " + row + "\n";
  }
  return text + "the log is whole: `fsck --repair` makes these tables again\n";
}

Result<FsckReport> fsck(const std::filesystem::path& events_file,
                        const std::filesystem::path& metrics_file) {
  std::error_code ignored;
  if (!std::filesystem::exists(events_file, ignored)) {
    return fail(ErrorCode::kNotFound, "checking {}: there is no such file; is --store right?",
                events_file.string());
  }
  STRATA_TRY(const auto scratch,
             make_temporary_folder(std::filesystem::temp_directory_path(), "strata-fsck-"));
  const auto checked = [&]() -> Result<FsckReport> {
    STRATA_TRY(auto database, open_store(scratch / "rebuilt.sqlite", "OFF", table_migrations()));
    Rebuild rebuild(std::move(database));
    FsckReport report;
    STRATA_TRY(report.structure, structural_damage(events_file));
    if (report.structure.empty()) report.structure = damage_of_name(events_file);
    report.points = damage_of_points(metrics_file);
    // A coordinator at work, or one that was killed, may not have come to the end with them.
    const std::filesystem::path tables = tables_file(events_file);
    const std::uint64_t reached = tables_reach(tables);
    STRATA_TRY(report.damage, read_events(events_file, [&](const StoredEvent& stored) -> Status {
                 ++report.events;
                 if (stored.seq > reached) return rebuild.check(stored.event);
                 STRATA_CHECK_OK(rebuild.add(stored.event));
                 return stored.seq == reached ? rebuild.write() : Status();
               }));
    if (report.damage) return report;
    STRATA_CHECK_OK(rebuild.write());
    if (!std::filesystem::exists(tables, ignored)) {
      report.older = 1;
      return report;
    }
    STRATA_TRY(report.tables, structural_damage(tables));
    if (!report.tables.empty()) return report;
    STRATA_CHECK_OK(from_sqlite("comparing the derived tables", [&] {
      attach_stored(rebuild.database(), tables);
      rebuild.database().exec("PRAGMA writable_schema=ON");  // a file that was cut short is read
      std::int64_t made_by = 0;
      const Status read = from_sqlite("reading", [&] {
        made_by = rebuild.database()
                      .execAndGet("SELECT coalesce(max(made_by), 0) FROM stored.follows")
                      .getInt64();
      });
      if (read && made_by < static_cast<std::int64_t>(table_migrations().size())) {
        report.older = std::max<std::int64_t>(made_by, 1);
        return;
      }
      for (const char* table : derived_table_names())
        static_cast<void>(compare(rebuild.database(), table, report.differences));
    }));
    return report;
  }();
  std::filesystem::remove_all(scratch, ignored);
  return checked;
}

Result<std::vector<TableDifference>> compare_tables(const std::filesystem::path& events_file,
                                                    const std::filesystem::path& scratch,
                                                    const std::atomic<bool>& ending) {
  STRATA_CHECK_OK(make_folder(scratch));
  STRATA_TRY(auto opened, open_store(scratch / "rebuilt.sqlite", "OFF", table_migrations()));
  Rebuild rebuild(std::move(opened));
  SQLite::Database& database = rebuild.database();
  // A statement that takes long ends, too, when it has to.
  constexpr int kSteps = 100'000;
  sqlite3_progress_handler(
      database.getHandle(), kSteps,
      [](void* flag) { return static_cast<const std::atomic<bool>*>(flag)->load() ? 1 : 0; },
      const_cast<std::atomic<bool>*>(&ending));
  std::vector<TableDifference> differences;
  const Status done = from_sqlite("comparing the derived tables", [&]() -> Status {
    attach_stored(database, tables_file(events_file));
    SQLite::Transaction moment(database);  // all of it at the one that this names
    const auto reached = static_cast<std::uint64_t>(
        database.execAndGet("SELECT coalesce(max(seq), 0) FROM stored.follows").getInt64());
    STRATA_TRY(const auto damage,
               read_events(events_file, [&](const StoredEvent& stored) -> Status {
                 if (ending) return fail(ErrorCode::kUnavailable, "it has to end");
                 if (stored.seq > reached) return {};
                 STRATA_CHECK_OK(rebuild.add(stored.event));
                 return stored.seq == reached ? rebuild.write() : Status();
               }));
    if (damage) return fail(ErrorCode::kDamaged, "event {}: {}", damage->seq, damage->what);
    for (const char* table : derived_table_names()) {
      const Status compared = compare(database, table, differences);
      if (!compared && compared.error().code != ErrorCode::kDamaged)
        return compared;  // a full disk, say
    }
    return {};
  });
  STRATA_CHECK_OK(done);
  return differences;
}

Status list_events(const std::filesystem::path& events_file,
                   const std::function<void(const std::string&)>& line) {
  STRATA_TRY(
      const auto damage, read_events(events_file, [&](const StoredEvent& stored) -> Status {
        const Event& event = stored.event;
        const TaskKey* task = task_of(event.body);
        line(to_canonical_json(Object{{"seq", stored.seq},
                                      {"at_ms", event.at.unix_ms},
                                      {"kind", name_of(event.body)},
                                      {"task", task != nullptr ? Value(task->hex()) : Value()},
                                      {"bytes", static_cast<std::int64_t>(stored.frame.size())}}));
        return {};
      }));
  if (damage) return fail(ErrorCode::kDamaged, "event {}: {}", damage->seq, damage->what);
  return {};
}

}  // namespace strata::coordinator

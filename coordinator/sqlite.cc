#include "coordinator/sqlite.h"

#include <optional>

namespace strata::coordinator {
namespace {

void migrate(SQLite::Database& database, const std::vector<std::string_view>& migrations,
             std::int64_t from) {
  for (std::size_t i = static_cast<std::size_t>(from); i < migrations.size(); ++i) {
    SQLite::Transaction transaction(database);
    database.exec(std::string(migrations[i]));
    database.exec(fmt::format("INSERT INTO schema_version (version) VALUES ({})", i + 1));
    transaction.commit();
  }
}

}  // namespace

Result<std::unique_ptr<SQLite::Database>> open_store(
    const std::filesystem::path& file, const char* synchronous,
    const std::vector<std::string_view>& migrations) {
  const std::string doing = fmt::format("opening {}", file.string());
  std::int64_t version = 0;
  std::string damage;
  auto database = from_sqlite(doing, [&] {
    auto db = std::make_unique<SQLite::Database>(
        file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyTimeoutMs);
    // EXTRA syncs the folder after the rollback journal of this very change was deleted. With FULL
    // a power cut may bring that journal back, and it would undo a new store together with its
    // first commits.
    db->exec("PRAGMA synchronous=EXTRA");
    db->exec("PRAGMA journal_mode=WAL");
    db->exec(fmt::format("PRAGMA synchronous={}", synchronous));
    db->exec("PRAGMA journal_size_limit=67108864");
    SQLite::Statement check(*db, "PRAGMA quick_check(1)");
    if (check.executeStep() && check.getColumn(0).getString() != "ok")
      damage = check.getColumn(0).getString();
    db->exec("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY) STRICT");
    version = db->execAndGet("SELECT coalesce(max(version), 0) FROM schema_version").getInt64();
    return db;
  });
  if (!database) return database;
  if (!damage.empty()) return fail(ErrorCode::kDamaged, "{}: {}", doing, damage);
  if (version > static_cast<std::int64_t>(migrations.size())) {
    return fail(ErrorCode::kUnsupported,
                "{}: it was written by a newer build (schema {}, this build knows {})", doing,
                version, migrations.size());
  }
  STRATA_CHECK_OK(from_sqlite(doing, [&] { migrate(**database, migrations, version); }));
  return database;
}

}  // namespace strata::coordinator

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

// An empty file is a new database to SQLite, which then throws the log beside it away. There is
// none beside a new one.
Status refuse_empty(const std::filesystem::path& file) {
  std::error_code error;
  const auto bytes = [&](const std::filesystem::path& one) {
    const std::uintmax_t size = std::filesystem::file_size(one, error);
    return error ? 0 : size;
  };
  if (bytes(file) > 0 || bytes(file.string() + "-wal") == 0) return {};
  return fail(ErrorCode::kDamaged, "{} is empty: its content is gone", file.string());
}

}  // namespace

Status limit_pages(std::string_view doing, SQLite::Database& database, std::int64_t pages) {
  // The widest limit that SQLite knows stands for none.
  constexpr std::int64_t kNoLimit = 4'294'967'294;
  return from_sqlite(doing, [&] {
    database.execAndGet(fmt::format("PRAGMA max_page_count={}", pages > 0 ? pages : kNoLimit));
  });
}

Result<std::unique_ptr<SQLite::Database>> open_reader(const std::filesystem::path& file) {
  return from_sqlite(fmt::format("opening {}", file.string()), [&] {
    return std::make_unique<SQLite::Database>(
        file.string(), SQLite::OPEN_READONLY | SQLite::OPEN_NOMUTEX, kBusyTimeoutMs);
  });
}

Result<std::unique_ptr<SQLite::Database>> open_damaged(const std::filesystem::path& file) {
  STRATA_TRY(auto database, open_reader(file));
  STRATA_CHECK_OK(from_sqlite(fmt::format("opening {}", file.string()), [&] {
    // Without it a file that is shorter than its header says cannot be read at all.
    database->exec("PRAGMA writable_schema=ON");
    database->exec("PRAGMA cell_size_check=ON");
  }));
  return database;
}

Result<std::string> structural_damage(const std::filesystem::path& file) {
  STRATA_TRY(const auto database, open_reader(file));
  auto found = from_sqlite(fmt::format("checking {}", file.string()), [&]() -> std::string {
    SQLite::Statement check(*database, "PRAGMA integrity_check(1)");
    if (!check.executeStep()) return "";
    const std::string said = check.getColumn(0).getString();
    return said == "ok" ? "" : said;
  });
  if (found || found.error().code != ErrorCode::kDamaged) return found;
  return found.error().message;
}

Result<std::unique_ptr<SQLite::Database>> open_store(
    const std::filesystem::path& file, const char* synchronous,
    const std::vector<std::string_view>& migrations) {
  const std::string doing = fmt::format("opening {}", file.string());
  std::error_code ignored;
  STRATA_CHECK_OK(refuse_empty(file));
  if (std::filesystem::exists(file, ignored)) {
    // Another error than damage is told by what follows, or healed: an interrupted first start.
    const auto damage = structural_damage(file);
    if (damage && !damage->empty())
      return fail(ErrorCode::kDamaged, "{}: {}", file.string(), *damage);
  }
  std::int64_t version = 0;
  auto database = from_sqlite(doing, [&] {
    auto db = std::make_unique<SQLite::Database>(
        file.string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE | SQLite::OPEN_NOMUTEX,
        kBusyTimeoutMs);
    // EXTRA syncs the folder after the rollback journal of this very change was deleted. With FULL
    // a power cut may bring that journal back, and it would undo a new store together with its
    // first commits.
    db->exec("PRAGMA synchronous=EXTRA");
    db->exec("PRAGMA journal_mode=WAL");
    db->exec(fmt::format("PRAGMA synchronous={}", synchronous));
    db->exec("PRAGMA journal_size_limit=67108864");
    db->exec("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY) STRICT");
    version = db->execAndGet("SELECT coalesce(max(version), 0) FROM schema_version").getInt64();
    return db;
  });
  if (!database) return database;
  if (version > static_cast<std::int64_t>(migrations.size())) {
    return fail(ErrorCode::kUnsupported,
                "{}: it was written by a newer build (schema {}, this build knows {})", doing,
                version, migrations.size());
  }
  STRATA_CHECK_OK(from_sqlite(doing, [&] { migrate(**database, migrations, version); }));
  return database;
}

}  // namespace strata::coordinator

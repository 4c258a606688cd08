// SQLite for the files of this room that keep or read a store: the only door to SQLiteCpp and
// sqlite3.h, where their exceptions end. Included by .cc files only.
//
// Thread rule: one thread per connection.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata::coordinator {

inline constexpr int kBusyTimeoutMs = 5'000;

// kDamaged for a corrupt file, kConflict for a broken constraint, kTooLarge for a value that
// no row holds, else kUnavailable (a full disk, a
// locked file).
[[nodiscard]] inline Error sqlite_error(std::string_view doing, const SQLite::Exception& e) {
  ErrorCode code = ErrorCode::kUnavailable;
  switch (e.getErrorCode()) {
    case SQLITE_CORRUPT:
    case SQLITE_FORMAT:
    case SQLITE_NOTADB: code = ErrorCode::kDamaged; break;
    case SQLITE_TOOBIG: code = ErrorCode::kTooLarge; break;
    case SQLITE_CONSTRAINT: code = ErrorCode::kConflict; break;
    default: break;
  }
  return {code, fmt::format("{}: {}", doing, e.what())};
}

template <class F>
auto from_sqlite(std::string_view doing, F&& f) -> Result<std::invoke_result_t<F>> try {
  if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
    std::invoke(std::forward<F>(f));
    return {};
  } else {
    return std::invoke(std::forward<F>(f));
  }
} catch (const SQLite::Exception& e) {
  return tl::unexpected(sqlite_error(doing, e));
}

// Prepared once, by their text; get() resets one and hands it out. Throws SQLite::Exception.
class Statements {
 public:
  explicit Statements(SQLite::Database& database) : database_(database) {}

  SQLite::Statement& get(const char* sql) {
    auto it = prepared_.find(sql);
    if (it == prepared_.end())
      it = prepared_.emplace(sql, std::make_unique<SQLite::Statement>(database_, sql)).first;
    SQLite::Statement& statement = *it->second;
    statement.tryReset();  // it tells again how the last execution failed, which is known already
    statement.clearBindings();
    return statement;
  }

  template <class... Args>
  void run(const char* sql, const Args&... args) {
    SQLite::Statement& statement = get(sql);
    bind(statement, args...);
    statement.exec();
    statement.reset();
  }

  template <class... Args>
  static void bind(SQLite::Statement& statement, const Args&... args) {
    int index = 0;
    (bind_one(statement, ++index, args), ...);
  }

 private:
  template <class T>
  static void bind_one(SQLite::Statement& statement, int index, const std::optional<T>& value) {
    if (value) {
      bind_one(statement, index, *value);
    } else {
      statement.bind(index);
    }
  }
  static void bind_one(SQLite::Statement& statement, int index, const std::string& value) {
    statement.bind(index, value);
  }
  static void bind_one(SQLite::Statement& statement, int index, const char* value) {
    statement.bind(index, value);
  }
  static void bind_one(SQLite::Statement& statement, int index, double value) {
    statement.bind(index, value);
  }
  static void bind_one(SQLite::Statement& statement, int index, bool value) {
    statement.bind(index, value ? 1 : 0);
  }
  static void bind_one(SQLite::Statement& statement, int index, std::uint32_t value) {
    statement.bind(index, std::int64_t{value});
  }
  static void bind_one(SQLite::Statement& statement, int index, std::int64_t value) {
    statement.bind(index, value);
  }
  static void bind_one(SQLite::Statement& statement, int index, std::uint64_t value) {
    statement.bind(index, static_cast<std::int64_t>(value));
  }

  SQLite::Database& database_;
  std::map<std::string, std::unique_ptr<SQLite::Statement>, std::less<>> prepared_;
};

// A connection that can only read.
[[nodiscard]] Result<std::unique_ptr<SQLite::Database>> open_reader(
    const std::filesystem::path& file);
// The same for a file that may be damaged: what can be read of it is read.
[[nodiscard]] Result<std::unique_ptr<SQLite::Database>> open_damaged(
    const std::filesystem::path& file);

// What SQLite's own check of a whole file finds first, every page and every index; empty: nothing.
// It is run on a connection that cannot write, so that a damaged file stays as it is.
[[nodiscard]] Result<std::string> structural_damage(const std::filesystem::path& file);

// A connection that may write, with its migrations done. kDamaged, and nothing is written, when the
// file was emptied or structural_damage() finds something. `synchronous`: "FULL" or "NORMAL".
[[nodiscard]] Result<std::unique_ptr<SQLite::Database>> open_store(
    const std::filesystem::path& file, const char* synchronous,
    const std::vector<std::string_view>& migrations);

}  // namespace strata::coordinator

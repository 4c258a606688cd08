// SQLite for the files of this room that keep or read a store: the only door to SQLiteCpp and
// sqlite3.h, where their exceptions end. Included by .cc files only.
//
// Thread rule: one thread per connection.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
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

// What a function gives as a Result: itself where it is one.
template <class T>
struct AsResult {
  using Type = Result<T>;
};
template <class T>
struct AsResult<Result<T>> {
  using Type = Result<T>;
};

template <class F>
auto from_sqlite(std::string_view doing, F&& f) -> typename AsResult<std::invoke_result_t<F>>::Type
    try {
  if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
    std::invoke(std::forward<F>(f));
    return {};
  } else {
    return std::invoke(std::forward<F>(f));
  }
} catch (const SQLite::Exception& e) {
  return tl::unexpected(sqlite_error(doing, e));
}

// Prepared once, and found by the address of their text; get() resets one and hands it out. Throws
// SQLite::Exception.
class Statements {
 public:
  explicit Statements(SQLite::Database& database) : database_(database) {}

  SQLite::Statement& get(const char* sql) {
    std::unique_ptr<SQLite::Statement>& statement = prepared_[sql];
    // Another text may have come to lie at the address of an earlier one.
    if (!statement || statement->getQuery() != sql) {
      statement = std::make_unique<SQLite::Statement>(database_, sql);
      return *statement;
    }
    statement->tryReset();  // it tells again how the last execution failed, which is known already
    statement->clearBindings();
    return *statement;
  }

  // The texts among `args` are read where they lie, until the statement is done.
  template <class... Args>
  void run(const char* sql, const Args&... args) {
    SQLite::Statement& statement = get(sql);
    int index = 0;
    (bind_one<true>(statement, ++index, args), ...);
    statement.exec();
    statement.reset();
  }

  template <class... Args>
  static void bind(SQLite::Statement& statement, const Args&... args) {
    int index = 0;
    (bind_one<false>(statement, ++index, args), ...);
  }

 private:
  template <bool kStays, class T>
  static void bind_one(SQLite::Statement& statement, int index, const std::optional<T>& value) {
    if (value) {
      bind_one<kStays>(statement, index, *value);
    } else {
      statement.bind(index);
    }
  }
  template <bool kStays, class T>
  static void bind_one(SQLite::Statement& statement, int index, const T& value) {
    if constexpr (std::is_convertible_v<const T&, const char*> || std::is_same_v<T, std::string>) {
      if constexpr (kStays) {
        statement.bindNoCopy(index, value);
      } else {
        statement.bind(index, value);
      }
    } else if constexpr (std::is_floating_point_v<T>) {
      statement.bind(index, value);
    } else {
      static_assert(std::is_integral_v<T>);
      statement.bind(index, static_cast<std::int64_t>(value));
    }
  }

  SQLite::Database& database_;
  std::unordered_map<const char*, std::unique_ptr<SQLite::Statement>> prepared_;
};

// How many pages the file may grow to; 0: as many as SQLite can count.
[[nodiscard]] Status limit_pages(std::string_view doing, SQLite::Database& database,
                                 std::int64_t pages);

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

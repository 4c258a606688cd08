// The inside of query.h, shared by query*.cc. Its methods throw SQLite::Exception; Query::answer
// catches.
#pragma once

#include <charconv>
#include <functional>
#include <set>

#include "base/fields.h"
#include "base/json.h"
#include "coordinator/query.h"
#include "coordinator/run_index.h"
#include "coordinator/sqlite.h"

namespace strata::coordinator {

class QueryReader {
 public:
  explicit QueryReader(std::unique_ptr<SQLite::Database> database)
      : database_(std::move(database)), run_(*database_) {}

  Result<Value> status(const Value& body, const ServerFacts& facts);
  Result<Value> sweeps(const Value& body, const ServerFacts& facts);
  Result<Value> plan(const Value& body, const ServerFacts& facts);
  Result<Value> runs(const Value& body, const ServerFacts& facts);
  Result<Value> search(const Value& body, const ServerFacts& facts);
  Result<Value> tasks(const Value& body, const ServerFacts& facts);
  Result<Value> show(const Value& body, const ServerFacts& facts);
  Result<Value> metrics(const Value& body, const ServerFacts& facts);

  void warm() { static_cast<void>(index_.refresh(run_, kRunsReadBeforehandMax)); }

  SQLite::Database& database() { return *database_; }

  // Each row of a query; false from `row` ends it.
  template <class... Args>
  void each(const char* sql, const std::function<void(SQLite::Statement&)>& row,
            const Args&... args) {
    SQLite::Statement& select = run_.get(sql);
    Statements::bind(select, args...);
    while (select.executeStep()) row(select);
    select.reset();
  }
  template <class... Args>
  std::int64_t number(const char* sql, const Args&... args) {
    std::int64_t value = 0;
    each(
        sql, [&](SQLite::Statement& row) { value = row.getColumn(0).getInt64(); }, args...);
    return value;
  }

 private:
  // One full key, of a task or of a run ("task" or "run" in first).
  Result<std::pair<std::string, std::string>> resolve(const std::string& prefix);
  Value changed_inputs(const std::string& task);
  Value orphans_of(const std::string& sweep, const std::set<std::string>& runs,
                   const std::set<std::string>& tasks, std::size_t& count);
  Value history();
  Value progress_of(const std::string& task, std::int64_t attempt);
  Value scores_of(const std::string& task, const std::set<std::string>& items);
  void add_scores(const std::string& stage, const std::string& task,
                  const std::set<std::string>& items, Object& scores);
  // A run without what its tasks say, which complete_run() adds.
  static Value run_value(SQLite::Statement& row);
  Value run_row(std::int64_t rowid);
  void complete_run(Value& row, const std::set<std::string>& items,
                    std::map<std::string, Value>& parameters);
  Value show_task(const std::string& task, const ServerFacts& facts);
  Value show_run(const std::string& run);
  Value attempts_of(const std::string& task);
  Value events_of(const std::string& task, std::string& cut);
  Value artifacts_of(const std::string& task, const ServerFacts& facts);
  const Value& parameters_of(const std::string& task, std::map<std::string, Value>& cache);

  std::unique_ptr<SQLite::Database> database_;
  Statements run_;
  RunIndex index_;
};

// Where a shared store keeps an artifact's content; empty without a store. (link/artifact_store.h
// says the same.)
[[nodiscard]] inline std::string artifact_path(const std::string& store, const std::string& hash) {
  return store.empty() ? std::string()
                       : fmt::format("{}/{}/{}/content", store, hash.substr(0, 2), hash);
}
// What is there is nothing that we ever stored: kDamaged, as where a page cannot be read.
[[noreturn]] inline void throw_damaged(std::string_view what) {
  throw SQLite::Exception(
      fmt::format("{} was changed on the disk: `strata-coordinator fsck` says more", what),
      SQLITE_CORRUPT);
}
[[nodiscard]] inline const std::string& text_at(const Value& row, std::string_view name) {
  const Value* value = row.find(name);
  const std::string* text = value != nullptr ? value->if_string() : nullptr;
  if (text == nullptr) throw_damaged(name);
  return *text;
}
[[nodiscard]] inline Value seed_value(const std::string& text) {
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size()) throw_damaged("a seed");
  return Value(seed);
}
// A column as it is: null, number, or text.
[[nodiscard]] inline Value column_value(const SQLite::Column& column) {
  if (column.isNull()) return {};
  if (column.isInteger()) return Value(std::int64_t{column.getInt64()});
  if (column.isFloat()) return Value(column.getDouble());
  return Value(column.getString());
}
[[nodiscard]] inline Value flag_value(const SQLite::Column& column) {
  return Value(column.getInt64() != 0);
}
// JSON that we stored; null where it is none.
[[nodiscard]] inline Value json_value(const SQLite::Column& column) {
  auto value = parse_json(column.getString());
  return value ? std::move(*value) : Value();
}

}  // namespace strata::coordinator

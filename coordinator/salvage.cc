#include "coordinator/salvage.h"

#include "coordinator/log_copy.h"
#include "coordinator/metric_store.h"
#include "coordinator/migrations.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_name.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

struct Series {
  std::int64_t id = 0;
  std::string task{};
  std::int64_t attempt = 0;
};

class PointCopy {
 public:
  PointCopy(SQLite::Database& from, SQLite::Database& to) : from_(from), to_(to) {}

  SalvagedPoints run() {
    std::vector<Series> all;
    note(from_sqlite("reading the series", [&] {
      SQLite::Statement select(from_, "SELECT id, task, attempt FROM series NOT INDEXED");
      while (select.executeStep())
        all.push_back({.id = select.getColumn(0).getInt64(),
                       .task = select.getColumn(1).getString(),
                       .attempt = select.getColumn(2).getInt64()});
    }));
    for (const Series& one : all) copy(one);
    return std::move(result_);
  }
  [[nodiscard]] const Status& written() const { return written_; }

 private:
  bool note(const Status& read) {
    if (!read && result_.damage.empty()) result_.damage = read.error().message;
    return read.has_value();
  }
  // Up to the damage from the front, and then from the back.
  void copy(const Series& series) {
    if (!written_) return;
    const std::uint64_t before = result_.points;
    if (copy(series, "ORDER BY sequence")) return;
    copy(series, "ORDER BY sequence DESC");
    if (result_.series.size() < kDamagedSeriesMax)
      result_.series.push_back(fmt::format("{} attempt {} ({} points can be read)", series.task,
                                           series.attempt, result_.points - before));
  }
  bool copy(const Series& series, std::string_view order) {
    std::vector<PointRow> rows;
    const bool whole = note(from_sqlite("reading metric points", [&] {
      SQLite::Statement select(
          from_, fmt::format("SELECT sequence, step, total, at_ms, metrics FROM point WHERE series "
                             "= ? {}",
                             order));
      Statements::bind(select, series.id);
      while (select.executeStep()) {
        PointRow row{.sequence = select.getColumn(0).getInt64(),
                     .step = select.getColumn(1).getInt64(),
                     .total = {},
                     .at_ms = select.getColumn(3).getInt64(),
                     .metrics = select.getColumn(4).getString()};
        if (!select.isColumnNull(2)) row.total = select.getColumn(2).getInt64();
        rows.push_back(std::move(row));
      }
    }));
    const Status put = write(series, rows);
    if (!put && written_) written_ = put;
    return whole;
  }
  struct PointRow {
    std::int64_t sequence = 0;
    std::int64_t step = 0;
    std::optional<std::int64_t> total{};
    std::int64_t at_ms = 0;
    std::string metrics{};
  };
  Status write(const Series& series, const std::vector<PointRow>& rows) {
    return from_sqlite("writing metric points", [&] {
      SQLite::Transaction transaction(to_);
      run_.run("INSERT INTO series (id, task, attempt) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
               series.id, series.task, series.attempt);
      for (const PointRow& row : rows) {
        run_.run(
            "INSERT INTO point (series, sequence, step, total, at_ms, metrics) SELECT id, ?, ?, ?, "
            "?, ? FROM series WHERE id = ? ON CONFLICT DO NOTHING",
            row.sequence, row.step, row.total, row.at_ms, row.metrics, series.id);
        result_.points += static_cast<std::uint64_t>(to_.getChanges());
      }
      transaction.commit();
    });
  }

  SQLite::Database& from_;
  SQLite::Database& to_;
  Statements run_{to_};
  SalvagedPoints result_;
  Status written_{};
};

}  // namespace

Result<SalvagedEvents> salvage_events(const fs::path& from, const fs::path& to,
                                      bool loss_is_accepted) {
  SalvagedEvents salvaged;
  const std::string name = believed_name(from);
  STRATA_TRY(LogCopy copy, LogCopy::open(to, name));
  STRATA_TRY(salvaged.damage, read_events(from, [&](const StoredEvent& stored) {
               return copy.add(stored.seq, stored.chain, stored.frame);
             }));
  STRATA_CHECK_OK(copy.write());
  salvaged.events = copy.last_seq();
  salvaged.nameless = name.empty();
  if (salvaged.damage && loss_is_accepted) STRATA_CHECK_OK(copy.skip_attempts());
  return salvaged;
}

Result<SalvagedPoints> salvage_points(const fs::path& from, const fs::path& to) {
  STRATA_TRY(const auto target, open_store(to, "FULL", metric_migrations()));
  std::error_code ignored;
  if (!fs::exists(from, ignored)) return SalvagedPoints{.damage = "the file is gone"};
  if (fs::file_size(from, ignored) == 0) return SalvagedPoints{.damage = "the file is empty"};
  const auto source = open_damaged(from);
  if (!source) return SalvagedPoints{.damage = source.error().message};
  PointCopy copy(**source, *target);
  SalvagedPoints salvaged = copy.run();
  STRATA_CHECK_OK(copy.written());
  if (salvaged.damage.empty()) {
    STRATA_TRY(salvaged.damage, structural_damage(from));
    STRATA_TRY(const std::string torn, torn_points(from));
    if (salvaged.damage.empty()) salvaged.damage = torn;
  }
  return salvaged;
}

}  // namespace strata::coordinator

#include "coordinator/metric_store.h"

#include <algorithm>

#include "base/json.h"
#include "coordinator/migrations.h"
#include "coordinator/sqlite.h"

namespace strata::coordinator {

std::vector<BranchPart> living_branch(std::span<const BranchAttempt> attempts) {
  std::vector<BranchPart> parts;
  std::optional<std::int64_t> last_step;
  for (std::size_t i = attempts.size(); i-- > 0;) {
    parts.push_back({.attempt = attempts[i].attempt, .last_step = last_step});
    if (!attempts[i].resume_step) break;  // it began anew: nothing earlier is alive
    last_step =
        last_step ? std::min(*last_step, *attempts[i].resume_step) : *attempts[i].resume_step;
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

struct MetricStore::State {
  explicit State(std::unique_ptr<SQLite::Database> opened)
      : database(std::move(opened)), run(*database) {}
  std::unique_ptr<SQLite::Database> database;
  Statements run;
  std::uint64_t points = 0;

  std::int64_t series_of(const AttemptId& attempt) {
    run.run("INSERT INTO series (task, attempt) VALUES (?, ?) ON CONFLICT DO NOTHING",
            attempt.task.hex(), attempt.number);
    SQLite::Statement& select = run.get("SELECT id FROM series WHERE task = ? AND attempt = ?");
    Statements::bind(select, attempt.task.hex(), attempt.number);
    select.executeStep();
    const std::int64_t id = select.getColumn(0).getInt64();
    select.reset();
    return id;
  }

  std::uint64_t stored_up_to(std::int64_t series) {
    SQLite::Statement& select =
        run.get("SELECT coalesce(max(sequence), 0) FROM point WHERE series = ?");
    Statements::bind(select, series);
    select.executeStep();
    const auto sequence = static_cast<std::uint64_t>(select.getColumn(0).getInt64());
    select.reset();
    return sequence;
  }

  std::uint64_t store(const MetricBatch& batch, WallTime at, std::uint64_t& fresh) {
    const std::int64_t series = series_of(batch.attempt);
    std::uint64_t last = stored_up_to(series);
    for (const MetricPoint& point : batch.points) {
      if (point.sequence <= last) continue;
      Object metrics;
      for (const auto& [name, value] : point.values) metrics.emplace(name, value);
      run.run(
          "INSERT INTO point (series, sequence, step, total, at_ms, metrics) VALUES (?, ?, ?, ?, "
          "?, ?)",
          series, point.sequence, point.step, point.total, at.unix_ms, to_canonical_json(metrics));
      last = point.sequence;
      ++fresh;
    }
    return last;
  }
};

MetricStore::MetricStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
MetricStore::~MetricStore() = default;
MetricStore::MetricStore(MetricStore&&) noexcept = default;
MetricStore& MetricStore::operator=(MetricStore&&) noexcept = default;

Result<MetricStore> MetricStore::open(const std::filesystem::path& file) {
  STRATA_TRY(auto database, open_store(file, "FULL", metric_migrations()));
  return MetricStore(std::make_unique<State>(std::move(database)));
}

Result<std::vector<std::uint64_t>> MetricStore::store(std::span<const MetricBatch> batches,
                                                      WallTime at) {
  std::vector<std::uint64_t> up_to;
  std::uint64_t fresh = 0;
  STRATA_CHECK_OK(from_sqlite("writing metric points", [&] {
    SQLite::Transaction transaction(*state_->database, SQLite::TransactionBehavior::IMMEDIATE);
    for (const MetricBatch& batch : batches) up_to.push_back(state_->store(batch, at, fresh));
    transaction.commit();
  }));
  state_->points += fresh;
  return up_to;
}

std::uint64_t MetricStore::points_stored() const { return state_->points; }

}  // namespace strata::coordinator

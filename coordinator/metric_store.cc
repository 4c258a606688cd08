#include "coordinator/metric_store.h"

#include <limits>
#include <map>
#include <utility>

#include "base/json.h"
#include "coordinator/migrations.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_tip.h"

namespace strata::coordinator {

namespace {

// A transaction writes a page for every attempt that sends, again and again the same ones: seldom
// copied into the file, they are copied once. 32 MiB, which stay allocated (journal_size_limit), so
// that a commit's sync has no new blocks to record.
constexpr int kPagesPerCheckpoint = 8'192;
constexpr std::int64_t kTransactionsMax = std::numeric_limits<std::int32_t>::max();

std::int64_t transactions_of(SQLite::Database& database) {
  return database.execAndGet("PRAGMA user_version").getInt64();
}

}  // namespace

Result<std::string> torn_points(const std::filesystem::path& file) {
  const auto tip = read_tip(file);  // before the database: a coordinator may be at work
  if (!tip) return std::string();
  STRATA_TRY(const auto database, open_damaged(file));
  return from_sqlite("reading the number of transactions", [&]() -> std::string {
    const std::int64_t there = transactions_of(*database);
    if (tip->seq <= static_cast<std::uint64_t>(there)) return "";
    return fmt::format(
        "{} of {} transactions are there: the end is torn off, or an older copy lies "
        "in its place",
        there, tip->seq);
  });
}

namespace {

// What was found so far, from the newest point backwards.
struct ValueAt {
  const std::string& metric;
  std::int64_t step = 0;
  bool beyond = false;  // there are points of later steps
  std::optional<double> value{};
  std::int64_t at = 0;  // its step
  [[nodiscard]] bool complete() const { return value.has_value(); }
};

}  // namespace

struct MetricStore::State {
  State(std::unique_ptr<SQLite::Database> opened, TipWriter writer)
      : database(std::move(opened)), run(*database), tip(std::move(writer)) {}
  std::unique_ptr<SQLite::Database> database;
  Statements run;
  TipWriter tip;
  std::int64_t transactions = 0;
  std::uint64_t points = 0;

  // Where the points of an attempt go.
  struct Series {
    std::int64_t id = 0;
    SeriesIntake intake;
  };
  std::map<AttemptId, Series> series;
  std::size_t waiting = 0;  // points, in all of them
  bool changed = false;     // the transaction under way has something to commit

  Series& series_of(const AttemptId& attempt) {
    const auto known = series.find(attempt);
    if (known != series.end()) return known->second;
    if (series.size() >= kSeriesRememberedMax) forget();
    run.run("INSERT INTO series (task, attempt) VALUES (?, ?) ON CONFLICT DO NOTHING",
            attempt.task.hex(), attempt.number);
    changed = true;
    SQLite::Statement& select = run.get(
        "SELECT id, (SELECT coalesce(max(sequence), 0) FROM point WHERE series = id) FROM series "
        "WHERE task = ? AND attempt = ?");
    Statements::bind(select, attempt.task.hex(), attempt.number);
    select.executeStep();
    const Series found{
        .id = select.getColumn(0).getInt64(),
        .intake = SeriesIntake(static_cast<std::uint64_t>(select.getColumn(1).getInt64()))};
    select.reset();
    return series.emplace(attempt, found).first->second;
  }

  // They would keep the room from those that still have a sender.
  void forget_abandoned(WallTime at) {
    std::erase_if(series, [&](const auto& one) {
      if (!one.second.intake.is_abandoned(at)) return false;
      waiting -= one.second.intake.waiting();
      return true;
    });
  }
  // Nothing of what waits is acknowledged: it comes again.
  void forget() {
    series.clear();
    waiting = 0;
  }

  // Steps never fall within an attempt.
  void look(const TaskKey& task, const BranchPart& part, ValueAt& found) {
    const std::string key = task.hex();
    SQLite::Statement& newest = run.get(
        "SELECT p.step FROM point p JOIN series s ON s.id = p.series WHERE s.task = ? AND "
        "s.attempt = ? ORDER BY p.sequence DESC LIMIT 1");
    Statements::bind(newest, key, part.attempt);
    const bool any = newest.executeStep();
    const std::int64_t last_step =
        part.last_step.value_or(std::numeric_limits<std::int64_t>::max());
    if (any && std::min(newest.getColumn(0).getInt64(), last_step) > found.step)
      found.beyond = true;
    newest.reset();
    if (!any) return;
    SQLite::Statement& rows = run.get(
        "SELECT p.step, p.metrics FROM point p JOIN series s ON s.id = p.series WHERE s.task = ? "
        "AND s.attempt = ? AND p.step <= ? ORDER BY p.sequence DESC");
    Statements::bind(rows, key, part.attempt, std::min(found.step, last_step));
    while (rows.executeStep()) {
      const std::int64_t step = rows.getColumn(0).getInt64();
      if (found.value && step != found.at) break;
      const auto metrics = parse_json(rows.getColumn(1).getString());
      const Object* values = metrics ? metrics->if_object() : nullptr;
      if (values == nullptr) continue;
      const auto it = values->find(found.metric);
      if (it == values->end()) continue;
      found.at = step;
      found.value = it->second.to_double().value_or(std::numeric_limits<double>::quiet_NaN());
    }
    rows.reset();
  }

  StoredBatch store(const MetricBatch& batch, WallTime at, std::uint64_t& fresh) {
    if (waiting >= kPointsAheadMax) forget_abandoned(at);
    Series& to = series_of(batch.attempt);
    waiting -= to.intake.waiting();
    const auto taken = to.intake.take(batch, at, kPointsAheadMax - waiting);
    waiting += to.intake.waiting();
    for (const MetricPoint* point : taken) {
      Object metrics;
      for (const auto& [name, value] : point->values)
        metrics.emplace_hint(metrics.end(), name, value);
      run.run(
          "INSERT INTO point (series, sequence, step, total, at_ms, metrics) VALUES (?, ?, ?, ?, "
          "?, ?)",
          to.id, point->sequence, point->step, point->total, at.unix_ms,
          to_canonical_json(metrics));
    }
    fresh += taken.size();
    changed = changed || !taken.empty();
    StoredBatch stored{.up_to = to.intake.stored()};
    if (!taken.empty()) stored.newest = *taken.back();
    return stored;
  }
};

MetricStore::MetricStore(std::unique_ptr<State> state) : state_(std::move(state)) {}
MetricStore::~MetricStore() = default;
MetricStore::MetricStore(MetricStore&&) noexcept = default;
MetricStore& MetricStore::operator=(MetricStore&&) noexcept = default;

Result<MetricStore> MetricStore::open(const std::filesystem::path& file) {
  STRATA_TRY(auto database, open_store(file, "FULL", metric_migrations()));
  STRATA_TRY(const std::string torn, torn_points(file));
  if (!torn.empty()) return fail(ErrorCode::kDamaged, "{}: {}", file.string(), torn);
  STRATA_CHECK_OK(from_sqlite("opening the metric points", [&] {
    database->exec(fmt::format("PRAGMA wal_autocheckpoint={}", kPagesPerCheckpoint));
  }));
  STRATA_TRY(TipWriter tip, TipWriter::open(file));
  auto state = std::make_unique<State>(std::move(database), std::move(tip));
  STRATA_TRY(state->transactions, from_sqlite("opening the metric points",
                                              [&] { return transactions_of(*state->database); }));
  return MetricStore(std::move(state));
}

Result<std::vector<StoredBatch>> MetricStore::store(std::span<const MetricBatch> batches,
                                                    WallTime at) {
  std::vector<StoredBatch> stored;
  std::uint64_t fresh = 0;
  bool committed = false;
  const std::int64_t next = std::min(state_->transactions + 1, kTransactionsMax);
  const Status written = from_sqlite("writing metric points", [&] {
    SQLite::Transaction transaction(*state_->database, SQLite::TransactionBehavior::IMMEDIATE);
    for (const MetricBatch& batch : batches) stored.push_back(state_->store(batch, at, fresh));
    if (!std::exchange(state_->changed, false)) return;
    state_->database->exec(fmt::format("PRAGMA user_version={}", next));
    transaction.commit();
    committed = true;
  });
  if (!written) {  // the file does not hold what the intakes have given out
    state_->changed = false;
    state_->forget();
    return tl::unexpected(written.error());
  }
  if (!committed) return stored;
  state_->transactions = next;
  state_->tip.write({.seq = static_cast<std::uint64_t>(next)});
  state_->points += fresh;
  return stored;
}

Result<std::optional<double>> MetricStore::value_at(const TaskKey& task,
                                                    std::span<const BranchPart> parts,
                                                    const std::string& metric, std::int64_t step) {
  ValueAt found{.metric = metric, .step = step};
  STRATA_CHECK_OK(from_sqlite("reading metric points", [&] {
    for (std::size_t i = parts.size(); i-- > 0 && !found.complete();)
      state_->look(task, parts[i], found);
  }));
  if (found.value && found.at == step) return std::optional<double>(found.value);
  if (!found.beyond) return std::optional<double>();
  return std::optional<double>(found.value.value_or(std::numeric_limits<double>::quiet_NaN()));
}

std::uint64_t MetricStore::points_stored() const { return state_->points; }
std::size_t MetricStore::points_waiting() const { return state_->waiting; }

}  // namespace strata::coordinator

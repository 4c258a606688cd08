#include "coordinator/query.h"

#include "coordinator/live_view.h"
#include "coordinator/metric_store.h"
#include "coordinator/projector.h"
#include "coordinator/query_reader.h"

namespace strata::coordinator {
namespace {

using Method = Result<Value> (QueryReader::*)(const Value&, const ServerFacts&);

const std::map<std::string, Method>& methods() {
  static const std::map<std::string, Method> kMethods{
      {"status", &QueryReader::status}, {"sweeps", &QueryReader::sweeps},
      {"plan", &QueryReader::plan},     {"runs", &QueryReader::runs},
      {"search", &QueryReader::search}, {"tasks", &QueryReader::tasks},
      {"show", &QueryReader::show},     {"metrics", &QueryReader::metrics}};
  return kMethods;
}

// Ends a question that takes too long. Called by SQLite every so many steps of its machine.
class Deadline {
 public:
  explicit Deadline(SQLite::Database& database)
      : database_(database), until_(std::chrono::steady_clock::now() + kQueryTimeMax) {
    constexpr int kSteps = 100'000;
    sqlite3_progress_handler(database_.getHandle(), kSteps, &Deadline::is_over, this);
  }
  ~Deadline() { sqlite3_progress_handler(database_.getHandle(), 0, nullptr, nullptr); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  static int is_over(void* self) {
    return std::chrono::steady_clock::now() >= static_cast<Deadline*>(self)->until_ ? 1 : 0;
  }
  SQLite::Database& database_;
  std::chrono::steady_clock::time_point until_;
};

std::string as_uri(const std::filesystem::path& file) {
  std::string uri = "file:";
  for (const char c : file.string()) {
    if (c == '%' || c == '?' || c == '#') {
      uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri + "?mode=ro";
}

}  // namespace

Query::Query(std::unique_ptr<QueryReader> reader) : reader_(std::move(reader)) {}
Query::~Query() = default;
Query::Query(Query&&) noexcept = default;
Query& Query::operator=(Query&&) noexcept = default;

Result<Query> Query::open(const std::filesystem::path& events_file,
                          const std::filesystem::path& metrics_file,
                          const std::filesystem::path& tables) {
  return from_sqlite(fmt::format("opening {} for reading", events_file.string()), [&] {
    auto database = std::make_unique<SQLite::Database>(
        as_uri(tables.empty() ? tables_file(events_file) : tables),
        SQLite::OPEN_READONLY | SQLite::OPEN_URI, kBusyTimeoutMs);
    SQLite::Statement attach(*database, "ATTACH DATABASE ? AS metric");
    attach.bind(1, as_uri(metrics_file));
    attach.exec();
    SQLite::Statement attach_log(*database, "ATTACH DATABASE ? AS log");
    attach_log.bind(1, as_uri(events_file));
    attach_log.exec();
    database->exec("PRAGMA writable_schema=ON");  // as open_damaged(): in safe mode
    return Query(std::make_unique<QueryReader>(std::move(database)));
  });
}

void Query::warm() try {
  static_cast<void>(from_sqlite("reading the runs", [&] {
    SQLite::Transaction moment(reader_->database());
    reader_->warm();
  }));
} catch (const std::exception&) {  // the first question meets it again, and says what it is
}

bool Query::knows(const std::string& verb) { return methods().contains(verb); }

Result<Value> Query::answer(const std::string& verb, const std::string& body,
                            const ServerFacts& facts) try {
  const auto method = methods().find(verb);
  if (method == methods().end())
    return fail(ErrorCode::kUnsupported, "there is no verb \"{}\"", verb);
  STRATA_TRY(Value value, parse_json(body.empty() ? "{}" : body));
  if (value.is_null()) value = Object{};
  const Deadline deadline(reader_->database());
  // One transaction, so that all of an answer speaks of the same moment.
  return from_sqlite(fmt::format("answering {}", verb), [&] {
    SQLite::Transaction moment(reader_->database());
    return (reader_.get()->*method->second)(value, facts);
  });
} catch (const std::exception& e) {  // whatever the files hold, it ends a question and no more
  return fail(ErrorCode::kDamaged, "answering {}: {}", verb, e.what());
}

namespace {

Value mirror_value(const Mirror* mirror) {
  if (mirror == nullptr) return {};
  const MirrorStatus status = mirror->status();
  return Object{{"events", status.last_seq},
                {"lag_seconds", status.lag_seconds},
                {"failing", status.failing}};
}

}  // namespace

Result<Value> QueryReader::status(const Value& body, const ServerFacts& facts) {
  STRATA_CHECK_OK(Fields(body, "status").finish());
  Object states;
  each("SELECT state, count(*) FROM task GROUP BY state", [&](SQLite::Statement& row) {
    states.emplace(row.getColumn(0).getString(), column_value(row.getColumn(1)));
  });
  const std::int64_t slots =
      number("SELECT coalesce(sum(slots), 0) FROM worker WHERE gone_ms IS NULL");
  const std::int64_t used =
      number("SELECT coalesce(sum(slots), 0) FROM attempt WHERE ended_ms IS NULL");
  return Value(Object{{"coordinator", facts.coordinator},
                      {"build", facts.build},
                      {"artifacts", facts.artifact_folder},
                      {"started_ms", facts.started_ms},
                      {"events", number("SELECT coalesce(max(seq), 0) FROM follows")},
                      {"dispatch", facts.dispatch},
                      {"behind", facts.behind},
                      {"mirror", mirror_value(facts.mirror)},
                      {"tasks", std::move(states)},
                      {"workers", number("SELECT count(*) FROM worker WHERE gone_ms IS NULL")},
                      {"slots", slots},
                      {"slots_free", slots - used}});
}

Result<Value> QueryReader::sweeps(const Value& body, const ServerFacts&) {
  Fields fields(body, "sweeps");
  const std::string named = fields.text("sweep", std::string());
  STRATA_CHECK_OK(fields.finish());
  Array rows;
  each(
      "SELECT s.sweep, generation, priority, sealed, cancelled, submitted_ms, definition, "
      "(SELECT count(*) FROM run r WHERE r.sweep = s.sweep AND r.generation >= "
      "s.sealed_generation), "
      "(SELECT count(*) FROM run r WHERE r.sweep = s.sweep AND r.generation < s.sealed_generation) "
      "FROM sweep s WHERE ?1 = '' OR s.sweep = ?1 ORDER BY submitted_ms, s.sweep",
      [&](SQLite::Statement& row) {
        Object sweep{{"sweep", column_value(row.getColumn(0))},
                     {"generation", column_value(row.getColumn(1))},
                     {"priority", column_value(row.getColumn(2))},
                     {"sealed", flag_value(row.getColumn(3))},
                     {"cancelled", flag_value(row.getColumn(4))},
                     {"submitted_ms", column_value(row.getColumn(5))},
                     {"runs", column_value(row.getColumn(7))},
                     {"orphans", column_value(row.getColumn(8))}};
        if (!named.empty()) sweep.emplace("definition", json_value(row.getColumn(6)));
        rows.emplace_back(std::move(sweep));
      },
      named);
  if (!named.empty() && rows.empty())
    return fail(ErrorCode::kNotFound, "there is no sweep \"{}\"", named);
  for (Value& row : rows) {
    Object states;
    each(
        "SELECT t.state, count(DISTINCT t.task) FROM run r JOIN run_task rt ON rt.sweep = r.sweep "
        "AND rt.run = r.run "
        "JOIN task t ON t.task = rt.task JOIN sweep s ON s.sweep = r.sweep "
        "WHERE r.sweep = ? AND r.generation >= s.sealed_generation GROUP BY t.state",
        [&](SQLite::Statement& count) {
          states.emplace(count.getColumn(0).getString(), column_value(count.getColumn(1)));
        },
        text_at(row, "sweep"));
    row.if_object()->emplace("tasks", std::move(states));
  }
  return Value(Object{{"sweeps", std::move(rows)}});
}

Result<Value> QueryReader::metrics(const Value& body, const ServerFacts&) {
  Fields fields(body, "metrics");
  const std::string prefix = fields.text("prefix");
  const std::vector<std::string> wanted = fields.texts("names", std::vector<std::string>{});
  STRATA_CHECK_OK(fields.finish());
  STRATA_TRY(const auto named, resolve(prefix));
  if (named.first != "task")
    return fail(ErrorCode::kInvalid, "{} names a run; ask for the metrics of one of its tasks",
                prefix);
  std::vector<BranchAttempt> attempts;
  each(
      "SELECT attempt, resume_step FROM attempt WHERE task = ? ORDER BY attempt",
      [&](SQLite::Statement& row) {
        BranchAttempt attempt{.attempt = row.getColumn(0).getInt64()};
        if (!row.getColumn(1).isNull()) attempt.resume_step = row.getColumn(1).getInt64();
        attempts.push_back(attempt);
      },
      named.second);
  Array points;
  bool too_many = false;
  for (const BranchPart& part : living_branch(attempts)) {
    each(
        "SELECT p.step, p.at_ms, p.metrics FROM metric.point p JOIN metric.series s ON s.id = "
        "p.series "
        "WHERE s.task = ? AND s.attempt = ? AND (?3 IS NULL OR p.step <= ?3) ORDER BY p.sequence",
        [&](SQLite::Statement& row) {
          if (points.size() >= kRowsMax) too_many = true;
          if (too_many) return;
          Value values = json_value(row.getColumn(2));
          if (values.if_object() == nullptr) throw_damaged("a metric point");
          if (!wanted.empty()) {
            Object some;
            for (const std::string& name : wanted) {
              const auto it = values.if_object()->find(name);
              if (it != values.if_object()->end()) some.emplace(*it);
            }
            values = std::move(some);
          }
          if (values.if_object()->empty()) return;
          points.emplace_back(Object{{"step", column_value(row.getColumn(0))},
                                     {"wall_ms", column_value(row.getColumn(1))},
                                     {"values", std::move(values)}});
        },
        named.second, part.attempt, part.last_step);
  }
  if (too_many)
    return fail(ErrorCode::kTooLarge, "the series of {} has more than {} points", prefix, kRowsMax);
  return Value(Object{{"task", named.second},
                      {"attempt", attempts.empty() ? Value(0) : Value(attempts.back().attempt)},
                      {"points", std::move(points)}});
}

Result<std::pair<std::string, std::string>> QueryReader::resolve(const std::string& prefix) {
  const bool digits = prefix.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (prefix.size() < kPrefixDigitsMin || prefix.size() > 64 || !digits) {
    return fail(ErrorCode::kInvalid,
                "\"{}\" names no task or run: give at least {} hexadecimal digits of its key",
                prefix, kPrefixDigitsMin);
  }
  std::vector<std::pair<std::string, std::string>> found;
  // 'g' comes after every hexadecimal digit.
  each(
      "SELECT 'task', task FROM task WHERE task >= ?1 AND task < ?1 || 'g' "
      "UNION SELECT 'run', run FROM run WHERE run >= ?1 AND run < ?1 || 'g' LIMIT 2",
      [&](SQLite::Statement& row) {
        found.emplace_back(row.getColumn(0).getString(), row.getColumn(1).getString());
      },
      prefix);
  if (found.empty()) return fail(ErrorCode::kNotFound, "no task or run begins with {}", prefix);
  if (found.size() > 1)
    return fail(ErrorCode::kConflict, "{} is not unique: give more digits", prefix);
  return found[0];
}

}  // namespace strata::coordinator

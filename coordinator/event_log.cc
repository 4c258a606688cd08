#include "coordinator/event_log.h"

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

constexpr std::int64_t kBatchesAtOnce = 16;  // held in memory by a reader
constexpr std::size_t kKeyBytes = sizeof(TaskKey::Bytes);

struct Row {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint32_t chain = 0;  // of the last
  std::string body{};
  std::string task{};  // of an old row
  std::string kind{};
  std::int64_t at_ms = 0;
};

std::string blob(const SQLite::Column& column) {
  return {static_cast<const char*>(column.getBlob()), static_cast<std::size_t>(column.getBytes())};
}

Row batch_of(SQLite::Statement& select) {
  return {.first = static_cast<std::uint64_t>(select.getColumn(1).getInt64()),
          .last = static_cast<std::uint64_t>(select.getColumn(0).getInt64()),
          .chain = static_cast<std::uint32_t>(select.getColumn(2).getInt64()),
          .body = blob(select.getColumn(3))};
}

Row old_row_of(SQLite::Statement& select) {
  const auto seq = static_cast<std::uint64_t>(select.getColumn(0).getInt64());
  return {.first = seq,
          .last = seq,
          .chain = static_cast<std::uint32_t>(select.getColumn(1).getInt64()),
          .body = blob(select.getColumn(2)),
          .task = select.getColumn(3).getString(),
          .kind = select.getColumn(4).getString(),
          .at_ms = select.getColumn(5).getInt64()};
}

constexpr const char* kBatches =
    "SELECT last_seq, first_seq, chain, body FROM batch WHERE last_seq > ? ORDER BY last_seq "
    "LIMIT ?";
constexpr const char* kOldRows =
    "SELECT seq, chain, body, coalesce(task, ''), kind, at_ms FROM event NOT INDEXED WHERE seq > ? "
    "ORDER BY seq LIMIT ?";

std::string keys_of(std::span<const Event> events) {
  std::set<TaskKey> keys;
  for (const Event& event : events) {
    if (const TaskKey* task = task_of(event.body)) keys.insert(*task);
  }
  std::string bytes;
  bytes.reserve(keys.size() * kKeyBytes);
  for (const TaskKey& key : keys)
    bytes.append(reinterpret_cast<const char*>(key.bytes().data()), kKeyBytes);
  return bytes;
}

using Names = std::set<std::string>;

void add_keys(std::string_view bytes, Names& named) {
  for (; bytes.size() >= kKeyBytes; bytes.remove_prefix(kKeyBytes)) {
    TaskKey::Bytes key{};
    std::copy_n(bytes.begin(), kKeyBytes, key.begin());
    named.insert(TaskKey(key).hex());
  }
}

// As far as its frames can be told apart and read.
void add_keys_of_frames(std::string_view body, Names& named) {
  const auto frames = split_frames(body);
  if (!frames) return;
  for (const std::string_view frame : *frames) {
    const auto event = decode_event(frame);
    const TaskKey* task = event ? task_of(event->body) : nullptr;
    if (task != nullptr) named.insert(task->hex());
  }
}

// From the front up to what cannot be read, then from the back.
void each_row(SQLite::Database& database, std::string_view columns, std::uint64_t last,
              const std::function<void(SQLite::Statement&)>& row) {
  for (const char* order : {"", " DESC"}) {
    const Status read = from_sqlite("naming the affected tasks", [&] {
      SQLite::Statement select(
          database,
          fmt::format("SELECT {} WHERE last_seq > ? ORDER BY last_seq{}", columns, order));
      Statements::bind(select, last);
      while (select.executeStep()) row(select);
    });
    if (read) return;
  }
}

// The tasks that events after `last` name.
std::vector<std::string> tasks_named_after(SQLite::Database& database, std::uint64_t last) {
  Names named;
  each_row(database, "tasks FROM batch_tasks", last,
           [&](SQLite::Statement& row) { add_keys(blob(row.getColumn(0)), named); });
  each_row(database, "body FROM batch", last,
           [&](SQLite::Statement& row) { add_keys_of_frames(blob(row.getColumn(0)), named); });
  for (const char* by : {"INDEXED BY event_by_task WHERE task IS NOT NULL AND",
                         "NOT INDEXED WHERE task IS NOT NULL AND"}) {  // of an earlier build
    const Status read = from_sqlite("naming the affected tasks", [&] {
      SQLite::Statement tasks(database, fmt::format("SELECT task FROM event {} seq > ?", by));
      Statements::bind(tasks, last);
      while (tasks.executeStep()) named.insert(tasks.getColumn(0).getString());
    });
    static_cast<void>(read);
  }
  std::vector<std::string> tasks(named.begin(), named.end());
  if (tasks.size() > static_cast<std::size_t>(kDamagedTasksMax))
    tasks.resize(static_cast<std::size_t>(kDamagedTasksMax));
  return tasks;
}

Status check_old_columns(const Row& row, const Event& event) {
  const TaskKey* task = task_of(event.body);
  if (row.kind.empty() || (row.kind == name_of(event.body) && row.at_ms == event.at.unix_ms &&
                           row.task == (task != nullptr ? task->hex() : ""))) {
    return {};
  }
  return fail(ErrorCode::kDamaged, "the columns of event {} say something else than its body",
              row.first);
}

struct Read {
  Tip tip{};  // the newest that was believed
  std::optional<Tip> committed{};
  bool refused = false;  // the last error is of the one who was shown the event
};

// Everything of a row is checked before anything of it is shown.
Status visit_row(const Row& row, Read& read, const VisitEvent& visit) {
  if (row.first != read.tip.seq + 1 || row.last < row.first)
    return fail(ErrorCode::kDamaged, "event {} is missing", read.tip.seq + 1);
  STRATA_TRY(const auto frames, split_frames(row.body));
  std::uint32_t chain = read.tip.chain;
  std::uint64_t seq = read.tip.seq;
  std::vector<std::uint32_t> chains;
  for (const std::string_view frame : frames) {
    chain = chained(chain, ++seq, frame);
    chains.push_back(chain);
    if (read.committed && read.committed->seq == seq && read.committed->chain != chain)
      return fail(ErrorCode::kDamaged, "event {} is not the one that was committed", seq);
  }
  if (seq != row.last || chain != row.chain) {
    return fail(ErrorCode::kDamaged, "events {} to {} do not fit the checksum chain", row.first,
                row.last);
  }
  for (std::size_t i = 0; i < frames.size(); ++i) {
    STRATA_TRY(const Event event, decode_event(frames[i]));
    STRATA_CHECK_OK(check_old_columns(row, event));
    read.refused = true;
    STRATA_CHECK_OK(
        visit({.seq = row.first + i, .chain = chains[i], .frame = frames[i], .event = event}));
    read.refused = false;
    read.tip = {.seq = row.first + i, .chain = chains[i]};
  }
  return {};
}

}  // namespace

const TaskKey* task_of(const EventBody& body) {
  return std::visit(
      [](const auto& e) -> const TaskKey* {
        using T = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<T, TaskWanted>) {
          return &e.spec.key;
        } else if constexpr (requires { e.attempt.task; }) {
          return &e.attempt.task;
        } else if constexpr (requires { e.task; }) {
          return &e.task;
        } else {
          return nullptr;
        }
      },
      body);
}

Result<std::vector<std::string_view>> split_frames(std::string_view body) {
  std::vector<std::string_view> frames;
  while (!body.empty()) {
    const std::size_t size = frame_size(body);
    if (size == 0 || size > body.size())
      return fail(ErrorCode::kDamaged, "a row of the log does not divide into events");
    frames.push_back(body.substr(0, size));
    body.remove_prefix(size);
  }
  return frames;
}

bool has_old_rows(SQLite::Database& database) { return database.tableExists("event"); }

Tip log_end(SQLite::Database& database) {
  SQLite::Statement last(database,
                         has_old_rows(database)
                             ? "SELECT seq, chain FROM event ORDER BY seq DESC LIMIT 1"
                             : "SELECT last_seq, chain FROM batch ORDER BY last_seq DESC LIMIT 1");
  if (!last.executeStep()) return {};
  return {.seq = static_cast<std::uint64_t>(last.getColumn(0).getInt64()),
          .chain = static_cast<std::uint32_t>(last.getColumn(1).getInt64())};
}

std::optional<std::uint32_t> chain_at(SQLite::Database& database, std::uint64_t seq) {
  if (seq == 0) return 0;
  SQLite::Statement select(database, kBatches);
  Statements::bind(select, seq - 1, std::int64_t{1});
  if (!select.executeStep()) return std::nullopt;
  const Row row = batch_of(select);
  if (row.last == seq) return row.chain;
  SQLite::Statement before(database, "SELECT chain FROM batch WHERE last_seq = ?");
  Statements::bind(before, row.first - 1);
  std::uint32_t chain = 0;
  if (before.executeStep()) chain = static_cast<std::uint32_t>(before.getColumn(0).getInt64());
  const auto frames = split_frames(row.body);
  if (!frames || row.first > seq || seq - row.first >= frames->size()) return std::nullopt;
  for (std::uint64_t i = row.first; i <= seq; ++i)
    chain = chained(chain, i, (*frames)[i - row.first]);
  return chain;
}

Tip append(Statements& run, Tip end, std::span<const std::string> frames,
           std::span<const Event> events) {
  STRATA_ASSERT(frames.size() == events.size());
  for (std::size_t at = 0; at < frames.size();) {
    std::string body;
    const std::size_t first = at;
    const std::uint64_t first_seq = end.seq + 1;
    for (; at < frames.size() && (at == first || body.size() + frames[at].size() <= kBatchBytesMax);
         ++at) {
      end.chain = chained(end.chain, ++end.seq, frames[at]);
      body += frames[at];
    }
    SQLite::Statement& insert = run.get(
        "INSERT INTO batch (last_seq, first_seq, at_ms, chain, body) VALUES (?, ?, ?, ?, ?)");
    Statements::bind(insert, end.seq, first_seq, events[first].at.unix_ms, end.chain);
    insert.bindNoCopy(5, body.data(), static_cast<int>(body.size()));
    insert.exec();
    insert.reset();
    const std::string keys = keys_of(events.subspan(first, at - first));
    SQLite::Statement& tasks = run.get("INSERT INTO batch_tasks (last_seq, tasks) VALUES (?, ?)");
    Statements::bind(tasks, end.seq);
    tasks.bindNoCopy(2, keys.data(), static_cast<int>(keys.size()));
    tasks.exec();
    tasks.reset();
  }
  return end;
}

Result<std::optional<Damage>> read_log(SQLite::Database& database, std::optional<Tip> tip,
                                       const VisitEvent& visit) {
  Read so_far{.committed = tip};
  const auto damage_at = [&](std::string what) {
    return std::optional<Damage>(Damage{.seq = so_far.tip.seq + 1,
                                        .what = std::move(what),
                                        .tasks = tasks_named_after(database, so_far.tip.seq)});
  };
  bool old = false;
  const Status looked = from_sqlite("reading the event log", [&] { old = has_old_rows(database); });
  if (!looked) {
    if (looked.error().code != ErrorCode::kDamaged) return tl::unexpected(looked.error());
    return damage_at(looked.error().message);
  }
  while (true) {
    std::vector<Row> rows;
    const Status read = from_sqlite("reading the event log", [&] {
      SQLite::Statement select(database, old ? kOldRows : kBatches);
      Statements::bind(select, so_far.tip.seq, old ? kReplayChunkEvents : kBatchesAtOnce);
      while (select.executeStep()) rows.push_back(old ? old_row_of(select) : batch_of(select));
    });
    if (!read && read.error().code != ErrorCode::kDamaged) return tl::unexpected(read.error());
    for (const Row& row : rows) {
      const Status visited = visit_row(row, so_far, visit);
      if (visited) continue;
      if (so_far.refused && visited.error().code != ErrorCode::kDamaged)  // it could not write, say
        return tl::unexpected(visited.error());
      return damage_at(visited.error().message);
    }
    if (!read) return damage_at(read.error().message);
    if (rows.empty()) break;
  }
  if (!tip || tip->seq <= so_far.tip.seq) return std::optional<Damage>();
  return damage_at(
      fmt::format("the log ends with event {}, and events up to {} were committed: its end is torn "
                  "off, or an older copy lies in its place",
                  so_far.tip.seq, tip->seq));
}

Status read_frames(SQLite::Database& database, Tip after, const VisitFrame& visit) {
  while (true) {
    std::vector<Row> rows;
    STRATA_CHECK_OK(from_sqlite("reading the event log", [&] {
      SQLite::Statement select(database, kBatches);
      Statements::bind(select, after.seq, kBatchesAtOnce);
      while (select.executeStep()) rows.push_back(batch_of(select));
    }));
    if (rows.empty()) return {};
    for (const Row& row : rows) {
      STRATA_TRY(const auto frames, split_frames(row.body));
      if (row.first > after.seq + 1 || row.first + frames.size() != row.last + 1)
        return fail(ErrorCode::kDamaged, "event {} of the store is missing", after.seq + 1);
      std::vector<std::uint32_t> chains;
      std::uint32_t chain = after.chain;
      for (std::uint64_t seq = after.seq + 1; seq <= row.last; ++seq)
        chains.push_back(chain = chained(chain, seq, frames[seq - row.first]));
      if (chain != row.chain) {
        return fail(ErrorCode::kDamaged, "events {} to {} of the store are damaged", after.seq + 1,
                    row.last);
      }
      for (const std::uint32_t its : chains) {
        ++after.seq;
        after.chain = its;
        STRATA_CHECK_OK(visit(after.seq, its, frames[after.seq - row.first]));
      }
    }
  }
}

}  // namespace strata::coordinator

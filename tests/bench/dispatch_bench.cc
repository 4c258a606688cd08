// How many tasks a second go through the core and the durable store when nothing is spawned: every
// task is submitted, granted with a lease and slots, started and ended by workers that answer at
// once, and every event is committed (synchronous=FULL) before its effects are seen. Beside it, in
// the same run, how many rows SQLite alone commits in transactions of 1,000.
//
//   strata-bench-dispatch --tasks 100000 --workers 4 --slots 64 --folder /tmp/bench
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>

#include "base/files.h"
#include "coordinator/core/core.h"
#include "coordinator/event_store.h"
#include "coordinator/sqlite.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kInputsPerBatch = 256;  // as the server's
constexpr std::size_t kRowsPerTransaction = 1'000;

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void need(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "strata-bench-dispatch: %s\n", status.error().message.c_str());
  std::exit(1);
}

std::int64_t resident_bytes() {
  const auto text = read_file("/proc/self/statm");
  if (!text) return 0;
  return std::stoll(text->substr(text->find(' ') + 1)) * 4096;
}

// What is allocated, whether or not the allocator has got more from the system.
std::int64_t heap_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<std::int64_t>(info.uordblks + info.hblkhd);
}

// Rows of the size of an event's, in a table that has what the log's has.
double sqlite_rows_per_second(const std::filesystem::path& file, std::size_t rows) {
  std::filesystem::remove(file);
  auto database = open_store(
      file, "FULL",
      {"CREATE TABLE row (seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, kind TEXT NOT NULL, "
       "body BLOB NOT NULL) STRICT;"});
  if (!database) need(tl::unexpected(database.error()));
  const std::string body(120, 'b');
  const auto began = std::chrono::steady_clock::now();
  Statements run(**database);
  for (std::size_t at = 0; at < rows; at += kRowsPerTransaction) {
    SQLite::Transaction transaction(**database, SQLite::TransactionBehavior::IMMEDIATE);
    for (std::size_t i = 0; i < kRowsPerTransaction; ++i) {
      SQLite::Statement& insert =
          run.get("INSERT INTO row (seq, at_ms, kind, body) VALUES (?, ?, ?, ?)");
      Statements::bind(insert, static_cast<std::int64_t>(at + i + 1), std::int64_t{1}, "attempt");
      insert.bind(4, body.data(), static_cast<int>(body.size()));
      insert.exec();
    }
    transaction.commit();
  }
  return static_cast<double>(rows) / seconds_since(began);
}

class Bench {
 public:
  Bench(EventStore& store, int workers, std::int64_t slots)
      : store_(store), core_({.coordinator_id = "bench"}, {}, now_) {
    for (int i = 1; i <= workers; ++i) {
      inputs_.push_back({.peer = PeerId(static_cast<std::uint64_t>(i)),
                         .body = Hello{.build = "bench",
                                       .name = fmt::format("w{}", i),
                                       .session = static_cast<std::uint64_t>(i),
                                       .slots = slots}});
    }
    drain();
  }

  // All of `count` tasks, until nothing is left to do.
  void run(std::int64_t count) {
    asked_for_ = count;
    drain();
  }

  double client_seconds = 0;  // of making what is submitted: clients do that, in their own time
  double step_seconds = 0;
  double commit_seconds = 0;
  double longest_turn_seconds = 0;
  std::uint64_t events = 0;
  std::uint64_t ended = 0;

 private:
  void drain() {
    while (!inputs_.empty() || submitted_ < asked_for_) turn();
  }

  // Clients wait for the answer to a batch before they make and send the next one.
  void submit_next() {
    const auto began = std::chrono::steady_clock::now();
    SubmitTasks batch{.id = 1, .sweep = "bench", .first = submitted_ == 0};
    const auto most = static_cast<std::int64_t>(kTasksPerBatchMax);
    const std::int64_t end = std::min(asked_for_, submitted_ + most);
    for (; submitted_ < end; ++submitted_) {
      TaskSpec spec{.stage = "true",
                    .program = {.name = "true", .argv = {"/bin/true"}},
                    .parameters = Value(Object{{"i", submitted_}})};
      spec.key = compute_key(spec);
      batch.tasks.push_back(std::move(spec));
    }
    batch.last = submitted_ == asked_for_;
    inputs_.push_back({.peer = PeerId(1'000), .body = std::move(batch)});
    client_seconds += seconds_since(began);
  }

  void turn() {
    if (submitted_ < asked_for_) submit_next();
    const auto began = std::chrono::steady_clock::now();
    std::vector<Event> batch;
    Effects effects;
    Touched touched;
    for (std::size_t i = 0; i < kInputsPerBatch && !inputs_.empty(); ++i) {
      const Input input = std::move(inputs_.front());
      inputs_.pop_front();
      now_ = now_ + std::chrono::microseconds(1);  // so that nobody is silent for long
      Output output = core_.step(input, now_, WallTime{1'700'000'000'000});
      std::move(output.events.begin(), output.events.end(), std::back_inserter(batch));
      std::move(output.effects.begin(), output.effects.end(), std::back_inserter(effects));
    }
    touched = core_.take_touched();
    step_seconds += seconds_since(began);
    const auto stepped = std::chrono::steady_clock::now();
    events += batch.size();
    need(store_.commit(std::make_shared<const std::vector<Event>>(std::move(batch)), touched,
                       core_.cluster()));
    commit_seconds += seconds_since(stepped);
    for (const Send& send : effects) answer(send);
    longest_turn_seconds = std::max(longest_turn_seconds, seconds_since(began));
  }

  void answer(const Send& send) {
    if (const auto* welcome = std::get_if<Welcome>(&send.message)) ids_[send.to] = welcome->worker;
    const auto* order = std::get_if<StartAttempt>(&send.message);
    if (order == nullptr) return;
    const WorkerId worker = ids_.at(send.to);
    inputs_.push_back(
        {.peer = send.to, .body = ReportStarted{.worker = worker, .attempt = order->attempt}});
    inputs_.push_back(
        {.peer = send.to,
         .body = ReportEnded{.worker = worker, .attempt = order->attempt, .outcome = Succeeded{}}});
    ++ended;
  }

  EventStore& store_;
  Instant now_{std::chrono::hours(1)};
  Core core_;
  std::deque<Input> inputs_;
  std::int64_t asked_for_ = 0;
  std::int64_t submitted_ = 0;
  std::map<PeerId, WorkerId> ids_;
};

struct Wanted {
  std::int64_t tasks = 100'000;
  int workers = 4;
  std::int64_t slots = 64;
  std::filesystem::path folder = std::filesystem::temp_directory_path() / "strata-bench-dispatch";
};

int run(const Wanted& wanted) {
  need(make_folder(wanted.folder));
  const double rows = sqlite_rows_per_second(wanted.folder / "rows.sqlite", 200'000);
  const std::filesystem::path file = wanted.folder / "events.sqlite";
  for (const auto& old : {file, tables_file(file)}) {
    for (const char* end : {"", "-wal", "-shm", "-tip", "-name"})
      std::filesystem::remove(old.string() + end);
  }
  auto store = EventStore::open(file, "bench");
  if (!store) need(tl::unexpected(store.error()));
  Bench bench(*store, wanted.workers, wanted.slots);
  const std::int64_t before = resident_bytes();
  const std::int64_t heap_before = heap_bytes() - sqlite3_memory_used();
  const auto began = std::chrono::steady_clock::now();
  bench.run(wanted.tasks);
  const double seconds = seconds_since(began) - bench.client_seconds;
  const std::uint64_t behind = store->last_seq() - store->tables().reached();
  need(store->tables().wait(store->last_seq(), std::chrono::minutes(10)));
  const double with_tables = seconds_since(began) - bench.client_seconds;
  const auto tasks = static_cast<double>(wanted.tasks);
  const double events = static_cast<double>(bench.events);
  std::printf("tasks                  %12lld\n", static_cast<long long>(wanted.tasks));
  std::printf("ended                  %12llu\n", static_cast<unsigned long long>(bench.ended));
  std::printf("tasks a second         %12.0f\n", tasks / seconds);
  std::printf("events a second        %12.0f\n", events / seconds);
  std::printf("  step, us an event    %12.2f\n", 1e6 * bench.step_seconds / events);
  std::printf("  commit, us an event  %12.2f\n", 1e6 * bench.commit_seconds / events);
  std::printf("SQLite alone, rows/s   %12.0f\n", rows);
  std::printf("events / rows          %12.3f   (bar 0.4)\n", events / seconds / rows);
  std::printf("tables behind, events  %12llu\n", static_cast<unsigned long long>(behind));
  std::printf("  with tables, ev/s    %12.0f\n", events / with_tables);
  std::printf("longest turn, ms       %12.1f\n", 1e3 * bench.longest_turn_seconds);
  std::printf("memory, bytes a task   %12.0f\n",
              static_cast<double>(resident_bytes() - before) / tasks);
  std::printf("  in use, without SQLite%11.0f\n", (static_cast<double>(heap_bytes() - heap_before) -
                                                   static_cast<double>(sqlite3_memory_used())) /
                                                      tasks);
  std::printf("  SQLite's caches      %11.0f\n",
              static_cast<double>(sqlite3_memory_used()) / tasks);
  std::printf("store, bytes a task    %12.0f\n",
              static_cast<double>(std::filesystem::file_size(file)) / tasks);
  {
    const EventStore closed = std::move(*store);  // what waits for the tables is written
  }
  const auto opening = std::chrono::steady_clock::now();
  auto again = EventStore::begin_opening(file);
  if (!again) need(tl::unexpected(again.error()));
  auto replayed = again->replay();
  if (!replayed) need(tl::unexpected(replayed.error()));
  need(again->finish_opening());
  const Core recovered({.coordinator_id = "bench"}, std::move(replayed->cluster), Instant{});
  std::printf("recovery, s            %12.2f   (bar 2 for 100,000 tasks)\n",
              seconds_since(opening));
  if (bench.ended == static_cast<std::uint64_t>(wanted.tasks)) return 0;
  std::fprintf(stderr, "strata-bench-dispatch: not every task has ended\n");
  return 1;
}

}  // namespace
}  // namespace strata::coordinator

int main(int argc, char** argv) {
  strata::coordinator::Wanted wanted;
  CLI::App app{"Tasks a second through the core and the durable store.", "strata-bench-dispatch"};
  app.add_option("--tasks", wanted.tasks)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--workers", wanted.workers)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--slots", wanted.slots, "of each worker")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--folder", wanted.folder)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return strata::coordinator::run(wanted);
}

// What a start of the coordinator costs with a log of so many events, and where the time goes; and
// what a commit costs.
//
//   strata-bench-store --events 100000 --checkpoints 5 --folder /tmp/bench
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "base/json.h"
#include "coordinator/core/core.h"
#include "coordinator/event_store.h"
#include "coordinator/fsck.h"
#include "coordinator/metric_store.h"
#include "coordinator/mirror.h"
#include "coordinator/restore.h"
#include "coordinator/sqlite.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kEventsPerCommit = 64;
constexpr int kRunsPerSweep = 100;

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

template <class F>
double seconds_of(F&& f) {
  const auto began = std::chrono::steady_clock::now();
  f();
  return seconds_since(began);
}

void need(const Status& status) {
  if (status) return;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  std::exit(1);
}

// A cluster whose workers do everything that they are told, and each training commits checkpoints.
class Life {
 public:
  Life(EventStore& store, int checkpoints) : store_(store), checkpoints_(checkpoints) {
    for (std::uint64_t i = 1; i <= 8; ++i)
      step(PeerId(i), Hello{.build = "bench",
                            .name = fmt::format("gpu-{:02}", i),
                            .session = i,
                            .slots = 4,
                            .labels = {"cuda", "big"}});
  }

  void sweep(int number) {
    const TaskSpec extract = task("extract", number, 0, {});
    SubmitTasks first{.id = 1,
                      .sweep = fmt::format("sweep-{}", number),
                      .definition = std::string(2'000, 'd'),
                      .first = true,
                      .tasks = {extract}};
    step(PeerId(100), first);
    for (int run = 0; run < kRunsPerSweep; ++run) {
      const TaskSpec train = task("train", number, run, {{"features", extract.key, "out"}});
      const TaskSpec synthesize = task("synthesize", number, run, {{"weights", train.key, "out"}});
      const TaskSpec score = task("score", number, run, {{"audio", synthesize.key, "out"}});
      RunSpec spec{.cell = fmt::format("text={} speech={}", run % 12, run / 12),
                   .assignment = Object{{"align.text.layer", run % 12}},
                   .seed = static_cast<std::uint64_t>(run)};
      for (const TaskSpec& one : {extract, train, synthesize, score})
        spec.tasks[one.stage] = one.key;
      spec.key = compute_key(spec);
      step(PeerId(100), SubmitTasks{.id = 2,
                                    .sweep = first.sweep,
                                    .last = run + 1 == kRunsPerSweep,
                                    .tasks = {train, synthesize, score},
                                    .runs = {spec}});
    }
    while (!orders_.empty()) {
      const StartAttempt order = orders_.front();
      orders_.erase(orders_.begin());
      perform(order);
    }
  }
  void commit() {
    const double took =
        seconds_of([&] { need(store_.commit(events_, core_.take_touched(), core_.cluster())); });
    commits_ += took;
    slowest_ = std::max(slowest_, took);
    for (Event& event : events_) bytes_ += encode(event)->size();
    events_.clear();
  }
  void reset_commits() { commits_ = slowest_ = 0; }
  [[nodiscard]] double slowest_commit() const { return slowest_; }
  [[nodiscard]] double commit_seconds() const { return commits_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] const Cluster& cluster() const { return core_.cluster(); }

 private:
  static TaskSpec task(const std::string& stage, int sweep, int run,
                       std::vector<TaskInput> inputs) {
    Object parameters{{"sweep", sweep}, {"run", run}};
    for (int i = 0; i < 20; ++i)
      parameters.emplace(fmt::format("model.parameter_{}", i), 0.125 * i);
    TaskSpec spec{.stage = stage,
                  .program = {.name = "strata-trainer " + stage,
                              .argv = {"/usr/local/bin/strata-trainer", stage}},
                  .parameters = std::move(parameters),
                  .inputs = std::move(inputs),
                  .outputs = {"out"},
                  .resumable = stage == "train",
                  .flops = 1e15};
    spec.key = compute_key(spec);
    return spec;
  }
  void perform(const StartAttempt& order) {
    const WorkerId worker = order.gang.front().worker;
    const PeerId peer(worker.value());
    step(peer, ReportStarted{.worker = worker, .attempt = order.attempt});
    for (int i = 1; order.spec.stage == "train" && i <= checkpoints_; ++i) {
      step(peer, ReportCheckpoint{.worker = worker,
                                  .attempt = order.attempt,
                                  .step = i * 1'000,
                                  .artifact = artifact(order.attempt.text() + std::to_string(i))});
    }
    Succeeded outcome{.artifacts = {{"out", artifact(order.attempt.text())}},
                      .recorded = {{"host", "gpu-01"}, {"device", "H100"}, {"build", "bench"}}};
    for (const auto& [input, ref] : order.inputs) outcome.consumed[input] = ref.hash;
    if (order.spec.stage == "score") {
      for (const char* name : {"wer", "sim", "utmos"}) {
        Score score{.name = name, .value = 0.5};
        for (int i = 0; i < 20; ++i) score.items.emplace(fmt::format("utterance-{:04}", i), 0.25);
        outcome.scores.push_back(std::move(score));
      }
    }
    step(peer, ReportEnded{.worker = worker, .attempt = order.attempt, .outcome = outcome});
  }
  static ArtifactRef artifact(const std::string& content) {
    return {.hash = content_hash_of(content), .bytes = 1'000'000, .files = 3};
  }
  void step(PeerId peer, InputBody body) {
    wall_.unix_ms += 10;
    Output output = core_.step({.peer = peer, .body = std::move(body)}, now_, wall_);
    for (Send& send : output.effects) {
      if (auto* order = std::get_if<StartAttempt>(&send.message))
        orders_.push_back(std::move(*order));
      if (const auto* answer = std::get_if<Answer>(&send.message); answer && !answer->ok)
        need(fail(ErrorCode::kInternal, "{}", answer->body));
    }
    std::move(output.events.begin(), output.events.end(), std::back_inserter(events_));
    if (events_.size() >= kEventsPerCommit) commit();
  }

  EventStore& store_;
  int checkpoints_;
  Instant now_{std::chrono::seconds(1'000)};
  WallTime wall_{.unix_ms = 1'700'000'000'000};
  Core core_{Options{.coordinator_id = "bench", .artifact_folder = "/artifacts"}, Cluster(), now_};
  std::vector<StartAttempt> orders_{};
  std::vector<Event> events_{};
  double commits_ = 0;
  double slowest_ = 0;
  std::uint64_t bytes_ = 0;
};

void measure_parts(const std::filesystem::path& file) {
  SQLite::Database database(file.string(), SQLite::OPEN_READONLY);
  std::printf("integrity_check(1)              %8.3f s\n",
              seconds_of([&] { database.execAndGet("PRAGMA integrity_check(1)"); }));
  std::printf("quick_check                     %8.3f s\n",
              seconds_of([&] { database.execAndGet("PRAGMA quick_check(1)"); }));
  std::vector<std::string> bodies;
  std::printf("reading and checking the log    %8.3f s\n", seconds_of([&] {
                need(read_events(file, [&](const StoredEvent& stored) -> Status {
                       bodies.emplace_back(stored.frame);
                       return {};
                     }).map([](const std::optional<Damage>&) {}));
              }));
  std::uint32_t chain = 0;
  std::printf("their checksums                 %8.3f s\n", seconds_of([&] {
                for (const std::string& body : bodies) chain = crc32c(body, chain);
              }));
  std::vector<Event> events;
  std::printf("decoding them (chain %08x)  %8.3f s\n", chain, seconds_of([&] {
                for (const std::string& body : bodies) events.push_back(*decode_event(body));
              }));
  // What loading the derived tables instead of a replay could not save.
  std::printf("reading the specs of all tasks  %8.3f s\n", seconds_of([&] {
                SQLite::Database tables(tables_file(file).string(), SQLite::OPEN_READONLY);
                SQLite::Statement select(tables, "SELECT spec FROM task");
                while (select.executeStep())
                  need(parse_json(select.getColumn(0).getString()).map([](const Value&) {}));
              }));
  Cluster cluster;
  std::printf("checking and applying them      %8.3f s\n", seconds_of([&] {
                for (const Event& event : events) cluster.apply(event);
              }));
}

// A first pass over the whole store, passes with little news, and what they do to commits.
void measure_mirror(EventStore& store, Life& life, const StoreFolder& folder,
                    const std::filesystem::path& where) {
  using namespace std::chrono_literals;
  const auto open = [&](std::chrono::milliseconds every) {
    auto mirror =
        Mirror::open({.folder = where, .every = every}, {.events_file = folder.events_file(),
                                                         .metrics_file = folder.metrics_file(),
                                                         .keys_file = folder.keys_file(),
                                                         .coordinator = store.coordinator_id()});
    if (!mirror) need(tl::unexpected(mirror.error()));
    return std::move(*mirror);
  };
  {
    const auto mirror = open(1h);
    need(mirror->finish());
    std::printf("mirror: the first pass          %8.3f s\n", mirror->status().pass_seconds);
  }
  {
    const auto mirror = open(1h);
    need(mirror->finish());
    std::printf("mirror: a pass without news     %8.3f s\n", mirror->status().pass_seconds);
  }
  const auto sweeps = [&](const char* label, int first) {
    life.reset_commits();
    const std::uint64_t before = store.last_seq();
    for (int i = first; i < first + 3; ++i) life.sweep(i);
    life.commit();
    std::printf("%s %7.1f us/event, slowest %.1f ms\n", label,
                life.commit_seconds() * 1e6 / static_cast<double>(store.last_seq() - before),
                life.slowest_commit() * 1e3);
  };
  constexpr int kFresh = 1'000'000;  // sweeps with numbers that there are not yet
  sweeps("commits without a mirror       ", kFresh);
  {
    const auto mirror = open(100ms);
    mirror->begin([] {});
    sweeps("commits, a pass every 0.1 s    ", kFresh + 3);
    need(mirror->finish());
  }
  const auto fresh = StoreFolder::open(folder.path().parent_path() / "restored", false).value();
  std::printf("restoring                       %8.3f s\n",
              seconds_of([&] { need(restore_store(fresh, where).map([](const Restored&) {})); }));
}

int run(int argc, char** argv) {
  std::uint64_t events = 100'000;
  int checkpoints = 5;
  std::filesystem::path folder = std::filesystem::temp_directory_path();
  std::filesystem::path mirror;
  CLI::App app{"Measures the coordinator's store."};
  app.add_option("--events", events, "about so many in the log")->capture_default_str();
  app.add_option("--checkpoints", checkpoints, "of each training")->capture_default_str();
  app.add_option("--folder", folder, "on a local disk")->capture_default_str();
  app.add_option("--mirror", mirror, "an empty folder, as a rule on another disk");
  CLI11_PARSE(app, argc, argv);
  const auto scratch = make_temporary_folder(folder, "strata-bench-").value();
  const StoreFolder store_folder = StoreFolder::open(scratch / "store", false).value();
  need(store_folder.keys().map([](const CurveKeys&) {}));
  need(MetricStore::open(store_folder.metrics_file()).map([](const MetricStore&) {}));
  const auto file = store_folder.events_file();
  {
    EventStore store = EventStore::open(file).value();
    Life life(store, checkpoints);
    for (int i = 0; store.last_seq() < events; ++i) life.sweep(i);
    life.commit();
    std::printf("%llu events of %.0f bytes, %zu tasks; the file has %.1f MB\n",
                static_cast<unsigned long long>(store.last_seq()),
                static_cast<double>(life.bytes()) / static_cast<double>(store.last_seq()),
                life.cluster().tasks().size(),
                static_cast<double>(std::filesystem::file_size(file)) / 1e6);
    const double each = 1e6 / static_cast<double>(store.last_seq());
    std::printf("commit, %zu events at once: %.1f us/event\n", kEventsPerCommit,
                life.commit_seconds() * each);
    std::printf("tables behind by                %8llu events\n",
                static_cast<unsigned long long>(store.last_seq() - store.tables().reached()));
    need(store.tables().wait(store.last_seq(), std::chrono::minutes(10)));
    measure_mirror(store, life, store_folder, mirror.empty() ? scratch / "mirror" : mirror);
  }
  std::printf("fsck                            %8.3f s\n",
              seconds_of([&] { need(fsck(file).map([](const FsckReport&) {})); }));
  std::optional<EventStore> store;
  std::printf("opening                         %8.3f s\n",
              seconds_of([&] { store.emplace(EventStore::open(file).value()); }));
  std::printf("replay                          %8.3f s\n",
              seconds_of([&] { need(store->replay().map([](const Replayed&) {})); }));
  measure_parts(file);
  store.reset();
  std::filesystem::remove_all(scratch);
  return 0;
}

}  // namespace
}  // namespace strata::coordinator

int main(int argc, char** argv) { return strata::coordinator::run(argc, argv); }

// What planning and submitting a large sweep costs, phase by phase: reading and expanding the file,
// the plan against a store that holds half of it, and submitting all of it to a coordinator in this
// process, over loopback, durably. Beside it, what SQLite alone commits on this machine.
//
//   strata-bench-plan --cells 10000 --seeds 2 --pipeline sweeps/pipelines/tts_alignment.yaml
#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/definition.h"
#include "cli/plan_report.h"
#include "coordinator/service.h"
#include "coordinator/sqlite.h"
#include "schema/codec.h"
#include "schema/yaml.h"

namespace strata {
namespace {

namespace fs = std::filesystem;

constexpr int kRowsPerCommit = 1'000;
constexpr int kRows = 20'000;

template <class F>
double seconds_of(F&& f) {
  const auto began = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

[[noreturn]] void give_up(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  std::exit(1);
}

template <class T>
T need(Result<T> result) {
  if (!result) give_up(result.error());
  return std::move(*result);
}

struct BenchOptions {
  int cells = 10'000;
  int seeds = 2;
  std::string pipeline{};  // empty: one stage of its own
  std::string folder = "/tmp/strata-bench-plan";
};

// So many cells: ten layers, and learning rates.
std::string sweep_text(const BenchOptions& settings, int cells) {
  std::string text = "sweep: bench\n";
  std::string seeds;
  for (int seed = 1; seed <= settings.seeds; ++seed)
    seeds += fmt::format("{}{}", seed == 1 ? "" : ", ", seed);
  std::string rates;
  for (int i = 1; i <= cells / 10; ++i) rates += fmt::format("{}{}e-7", i == 1 ? "" : ", ", i);
  const bool alone = settings.pipeline.empty();
  if (alone) {
    text +=
        "base: {align.text.layer: 0, train.lr: 1}\nstages:\n  train: {program: 'true', reads: "
        "[align, train], outputs: [weights], seeded: true}\n";
  } else {
    text += fmt::format("pipeline: {}\n", fs::absolute(settings.pipeline).string());
    text +=
        "base:\n  corpus: {kind: list, file: /data/list.jsonl}\n  estimate: {frames: 528, bands: "
        "100, vocabulary: 78, teacher_frames: 0.53333, teacher_width: 1024}\n  train: {updates: "
        "200000, batch: 176}\n";
  }
  return text + fmt::format(
                    "seeds: [{}]\naxes:\n  align.text.layer: [0, 1, 2, 3, 4, 5, 6, 7, 8, "
                    "9]\n  train.lr: [{}]\n",
                    seeds, rates);
}

struct Sweep {
  SweepDefinition definition{};
  Expansion expansion{};
  double read = 0;
  double expanded = 0;
};

Sweep make_sweep(const BenchOptions& settings, int cells) {
  Sweep out;
  const std::string text = sweep_text(settings, cells);
  out.read = seconds_of([&] {
    out.definition =
        need(read_sweep("/bench.yaml", [&](const std::string& path) -> Result<std::string> {
          if (path == "/bench.yaml") return text;
          return read_file(path, kYamlBytesMax);
        }));
  });
  out.expanded = seconds_of([&] { out.expansion = need(expand(out.definition)); });
  return out;
}

Value question(const Sweep& sweep) {
  Array tasks;
  for (const TaskSpec& task : sweep.expansion.tasks) tasks.push_back(task.key.hex());
  Array runs;
  for (const RunSpec& run : sweep.expansion.runs) runs.push_back(run.key.hex());
  return Object{{"sweep", sweep.expansion.sweep},
                {"scope", cli::scope_of(sweep.definition, sweep.expansion)},
                {"tasks", std::move(tasks)},
                {"runs", std::move(runs)}};
}

// Asks the control loop for its workers, over and over: the longest time until it answered is how
// long something held it up.
class Watcher {
 public:
  explicit Watcher(const std::string& address_file) {
    thread_ = std::jthread([this, address_file] {
      const auto client = need(cli::connect(address_file));
      while (!over_.load()) {
        const double took = seconds_of([&] { (void)client->ask("workers", Object{}); });
        if (took > longest_.load()) longest_.store(took);
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  }
  ~Watcher() { over_.store(true); }
  double take_longest() { return longest_.exchange(0); }

 private:
  std::atomic<bool> over_{false};
  std::atomic<double> longest_{0};
  std::jthread thread_{};
};

void submit(cli::Client& client, const Sweep& sweep, const std::string& if_plan) {
  const auto batches = cli::submission(sweep.definition, sweep.expansion, Object{{"name", "bench"}},
                                       if_plan, "bench");
  const auto done = client.submit_all(batches);
  if (!done) give_up(done.error());
}

// Rows as large as a task's, in a table with one index, in transactions that are synced.
double rows_per_second(const fs::path& folder, std::size_t bytes) {
  SQLite::Database database((folder / "bare.sqlite").string(),
                            SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  database.exec("PRAGMA journal_mode=WAL");
  database.exec("PRAGMA synchronous=FULL");
  database.exec("CREATE TABLE row (number INTEGER PRIMARY KEY, name TEXT UNIQUE, body BLOB)");
  SQLite::Statement insert(database, "INSERT INTO row (name, body) VALUES (?, ?)");
  const std::string body(bytes, 'x');
  const double took = seconds_of([&] {
    for (int at = 0; at < kRows; at += kRowsPerCommit) {
      SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
      for (int i = at; i < at + kRowsPerCommit; ++i) {
        insert.bind(1, task_key_of(std::to_string(i)).hex());
        insert.bind(2, body);
        insert.exec();
        insert.reset();
      }
      transaction.commit();
    }
  });
  return kRows / took;
}

int run(const BenchOptions& settings) {
  fs::remove_all(settings.folder);
  if (const auto made = make_folder(settings.folder); !made) give_up(made.error());
  const Sweep half = make_sweep(settings, settings.cells / 2);
  const Sweep whole = make_sweep(settings, settings.cells);
  std::printf("cells %zu, runs %zu, tasks %zu\n", whole.expansion.cells,
              whole.expansion.runs.size(), whole.expansion.tasks.size());
  std::printf("reading the file                %8.3f s\n", whole.read);
  std::printf("expanding it                    %8.3f s\n", whole.expanded);

  auto service = need(coordinator::Service::start(
      {.store = fs::path(settings.folder) / "store", .metrics = "", .build = "bench"}));
  std::jthread server([&] { (void)service->run(); });
  {
    const std::string address = service->address_file().string();
    const auto client = need(cli::connect(address));
    submit(*client, half, "");
    Watcher watcher(address);
    Value answer;
    const double asked = seconds_of([&] { answer = need(client->ask("plan", question(whole))); });
    std::printf("asking for the plan             %8.3f s   (control loop held up for %.0f ms)\n",
                asked, watcher.take_longest() * 1e3);
    cli::PlanReport plan;
    const double made =
        seconds_of([&] { plan = cli::make_plan(whole.definition, whole.expansion, answer, {}); });
    std::printf("the report: %lld new, %lld known %8.3f s\n",
                static_cast<long long>(plan.tasks.fresh),
                static_cast<long long>(plan.tasks.total() - plan.tasks.fresh), made);
    const double sent = seconds_of([&] { submit(*client, whole, plan.plan_id); });
    std::printf("submitting, if the plan holds   %8.3f s   (control loop held up for %.0f ms)\n",
                sent, watcher.take_longest() * 1e3);
    const double again = seconds_of([&] { submit(*client, whole, ""); });
    std::printf("submitting it once more         %8.3f s   (control loop held up for %.0f ms)\n",
                again, watcher.take_longest() * 1e3);
    std::printf("file, expansion, plan, submission %6.3f s\n",
                whole.read + whole.expanded + asked + made + sent);
  }
  service->stop();
  server.join();
  std::size_t bytes = 0;
  for (const TaskSpec& task : whole.expansion.tasks)
    bytes += need(encode(Event{.body = TaskWanted{.sweep = "bench", .spec = task}})).size();
  bytes /= whole.expansion.tasks.size();
  std::printf("SQLite alone, rows of %zu bytes in synced transactions of %d: %.0f rows/s\n", bytes,
              kRowsPerCommit, rows_per_second(settings.folder, bytes));
  return 0;
}

}  // namespace
}  // namespace strata

int main(int argc, char** argv) {
  strata::BenchOptions settings;
  CLI::App app{"What planning and submitting a large sweep costs", "strata-bench-plan"};
  app.add_option("--cells", settings.cells)->check(CLI::Range(20, 100'000));
  app.add_option("--seeds", settings.seeds)->check(CLI::Range(1, 10));
  app.add_option("--pipeline", settings.pipeline, "a pipeline file; default: one stage");
  app.add_option("--folder", settings.folder, "emptied first");
  CLI11_PARSE(app, argc, argv);
  return strata::run(settings);
}

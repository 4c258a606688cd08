// Real tasks through everything: a coordinator over loopback sockets, a strata-worker of its own
// process with two slots, and programs that do nothing. Beside it, in turns, what the machine gives
// to anybody: posix_spawn of the same program; and a peer, where a command for it is given.
//
//   strata-bench-true rate --tasks 2000 --rounds 5
//   strata-bench-true chain --tasks 200 --rounds 3
//   strata-bench-true rate --peer "FOLDER/bin/python tests/bench/peers/hyperqueue_peer.py rate"
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "coordinator/service.h"
#include "link/coordinator_link.h"
#include "tests/bench/running_coordinator.h"

extern char** environ;

namespace strata::bench {
namespace {

using coordinator::Service;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr auto kLookEvery = 10ms;
constexpr std::int64_t kSlots = 2;

struct Settings {
  fs::path folder{};
  std::int64_t tasks = 2'000;
  int rounds = 5;
  std::string peer{};
  std::string worker_log{"/dev/null"};
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

// --- processor time ---

// Of a process and what it has collected, and of everything that lives below it.
double cpu_below(pid_t pid) {
  const auto text = read_file(fmt::format("/proc/{}/stat", pid));
  if (!text) return 0;
  std::istringstream fields(text->substr(text->rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double ticks = 0;
  for (int field = 14; field < 18; ++field) {
    double some = 0;
    fields >> some;
    ticks += some;
  }
  double sum = ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
  std::istringstream children(
      read_file(fmt::format("/proc/{}/task/{}/children", pid, pid)).value_or(""));
  for (pid_t child = 0; children >> child;) sum += cpu_below(child);
  return sum;
}

double cpu_of(int who) {
  rusage used{};
  ::getrusage(who, &used);
  const auto in_seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return in_seconds(used.ru_utime) + in_seconds(used.ru_stime);
}

// --- what the machine gives ---

pid_t spawn_plainly(std::vector<std::string> argv) {
  std::vector<char*> words;
  for (std::string& word : argv) words.push_back(word.data());
  words.push_back(nullptr);
  pid_t pid = 0;
  if (::posix_spawn(&pid, words.front(), nullptr, nullptr, words.data(), environ) != 0)
    need(fail(ErrorCode::kUnavailable, "spawning {}", argv.front()));
  return pid;
}

// Seconds for `count` of them, `at_once` in flight.
double spawn_floor(const std::vector<std::string>& argv, std::int64_t count, int at_once) {
  const auto began = Clock::now();
  std::vector<pid_t> flying;
  const auto land = [&] {  // whichever ends first; the worker is another child of ours
    for (;;) {
      siginfo_t info{};
      if (::waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) != 0) return;
      const auto it = std::ranges::find(flying, info.si_pid);
      if (it == flying.end()) need(fail(ErrorCode::kInternal, "the worker has ended"));
      ::waitpid(info.si_pid, nullptr, 0);
      flying.erase(it);
      return;
    }
  };
  for (std::int64_t i = 0; i < count; ++i) {
    if (flying.size() == static_cast<std::size_t>(at_once)) land();
    flying.push_back(spawn_plainly(argv));
  }
  while (!flying.empty()) land();
  return seconds_since(began);
}

// --- coordinator and worker ---

class Running {
 public:
  explicit Running(const Settings& settings)
      : folder_(needed(make_temporary_folder(settings.folder, "strata-bench-true-"))),
        service_(needed(Service::start({.store = folder_ / "store", .build = "bench"}))),
        thread_([this] { need(service_->run()); }),
        client_(needed(CoordinatorLink::open(service_->address_file()))) {
    const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path();
    worker_ = needed(spawn(
        {.argv = {(beside / "strata-worker").string(), "--coordinator",
                  service_->address_file().string(), "--folder", (folder_ / "worker").string(),
                  "--slots", std::to_string(kSlots), "--no-gpus"},
         .stdout_file = settings.worker_log,
         .stderr_file = settings.worker_log}));
  }
  ~Running() {
    ::kill(worker_, SIGTERM);
    (void)wait_exit(worker_);
    service_->stop();
    thread_.join();
    service_.reset();
    fs::remove_all(folder_);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  [[nodiscard]] const fs::path& folder() const { return folder_; }
  [[nodiscard]] double worker_cpu() const { return cpu_below(worker_); }

  void submit(const std::string& sweep, const std::vector<TaskSpec>& tasks) {
    for (std::size_t at = 0; at < tasks.size(); at += kTasksPerBatchMax) {
      SubmitTasks batch{.sweep = sweep, .definition = "{}", .first = at == 0};
      const std::size_t end = std::min(tasks.size(), at + kTasksPerBatchMax);
      batch.last = end == tasks.size();
      for (std::size_t i = at; i < end; ++i) {
        batch.tasks.push_back(tasks[i]);
        RunSpec run{.cell = "c", .seed = i};
        run.tasks[tasks[i].stage] = tasks[i].key;
        run.key = compute_key(run);
        batch.runs.push_back(std::move(run));
      }
      const Answer answer = needed(client_.submit(std::move(batch), kPatience));
      if (!answer.ok) need(fail(ErrorCode::kInternal, "{}", answer.body));
    }
  }
  // Until every task of the sweep has succeeded. The question costs the coordinator a look at each
  // task, so it is not asked again before half of the time that the rest will need.
  void finish(const std::string& sweep, std::int64_t tasks) {
    const std::string question = to_canonical_json(Value(Object{{"sweep", sweep}}));
    const auto began = Clock::now();
    for (;;) {
      const Answer answer = needed(client_.ask("watch", question, kPatience));
      if (!answer.ok) need(fail(ErrorCode::kInternal, "{}", answer.body));
      const Value body = needed(parse_json(answer.body));
      const Value* states = body.find("tasks");
      const auto in = [&](const char* state) {
        const Value* number = states == nullptr ? nullptr : states->find(state);
        return number == nullptr ? 0.0 : number->to_double().value_or(0);
      };
      if (in("failed") > 0) need(fail(ErrorCode::kInternal, "a task failed: {}", answer.body));
      const double done = in("succeeded") / static_cast<double>(tasks);
      if (done >= 1) return;
      const std::chrono::duration<double> half(0.5 * seconds_since(began) * (1 - done) /
                                               std::max(done, 0.1));
      std::this_thread::sleep_for(std::max<std::chrono::duration<double>>(half, kLookEvery));
    }
  }

 private:
  fs::path folder_;
  std::unique_ptr<Service> service_;
  std::jthread thread_;
  CoordinatorLink client_;
  pid_t worker_ = 0;
};

// `number` makes its key another one.
TaskSpec task(std::vector<std::string> argv, std::int64_t number) {
  TaskSpec spec{.stage = fmt::format("s{}", number),
                .program = {.name = "true", .argv = std::move(argv)},
                .parameters = Value(Object{{"i", number}})};
  spec.key = compute_key(spec);
  return spec;
}

// The number behind `label` in what the peer prints.
double ask_peer(const Settings& settings, const std::string& label) {
  if (settings.peer.empty()) return 0;
  const auto told = needed(
      run_captured({.argv = {"/bin/sh", "-c",
                             fmt::format("exec {} --tasks {}", settings.peer, settings.tasks)}}));
  const std::size_t at = told.output.find(label);
  if (!told.exit.ok() || at == std::string::npos)
    need(fail(ErrorCode::kInternal, "the peer: {}: {}", told.exit.describe(), told.output));
  return std::stod(told.output.substr(at + label.size()));
}

void measure_rate(const Settings& settings) {
  const std::vector<std::string> argv{"/bin/true"};
  Running running(settings);
  std::vector<double> rates;
  std::vector<double> floors;
  std::vector<double> peers;
  std::vector<double> coordinator_cpu;
  std::vector<double> worker_cpu;
  std::vector<double> floor_cpu;
  const auto count = static_cast<double>(settings.tasks);
  std::int64_t number = 0;
  const auto round = [&](std::int64_t tasks) {
    std::vector<TaskSpec> all;
    for (std::int64_t i = 0; i < tasks; ++i) all.push_back(task(argv, ++number));
    for (TaskSpec& spec : all) spec.stage = "true";
    for (TaskSpec& spec : all) spec.key = compute_key(spec);
    const std::string sweep = fmt::format("round-{}", number);
    const auto began = Clock::now();
    running.submit(sweep, all);
    running.finish(sweep, tasks);
    return seconds_since(began);
  };
  (void)round(400);  // from here on old folders go as new ones come
  std::printf("%10s %10s %10s\n", "tasks/s", "floor/s", "peer/s");
  for (int i = 0; i < settings.rounds; ++i) {
    const double before_floor = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
    floors.push_back(count / spawn_floor(argv, settings.tasks, kSlots));
    const double own = cpu_of(RUSAGE_SELF);
    floor_cpu.push_back((own + cpu_of(RUSAGE_CHILDREN) - before_floor) / count);
    const double worker = running.worker_cpu();
    rates.push_back(count / round(settings.tasks));
    coordinator_cpu.push_back((cpu_of(RUSAGE_SELF) - own) / count);
    worker_cpu.push_back((running.worker_cpu() - worker) / count);
    peers.push_back(ask_peer(settings, "tasks a second"));
    std::printf("%10.0f %10.0f %10.0f\n", rates.back(), floors.back(), peers.back());
    std::fflush(stdout);
  }
  std::vector<double> of_floor;
  std::vector<double> of_peer;
  for (std::size_t i = 0; i < rates.size(); ++i) {
    of_floor.push_back(rates[i] / floors[i]);
    of_peer.push_back(peers[i] > 0 ? rates[i] / peers[i] : 0);
  }
  std::printf("medians of %d rounds of %lld tasks:\n", settings.rounds,
              static_cast<long long>(settings.tasks));
  std::printf("tasks a second        %10.0f\n", median(rates));
  std::printf("spawn floor, a second %10.0f\n", median(floors));
  std::printf("share of the floor    %10.2f\n", median(of_floor));
  std::printf("processor time of each, ms: coordinator %.3f, worker and below %.3f, floor %.3f\n",
              1e3 * median(coordinator_cpu), 1e3 * median(worker_cpu), 1e3 * median(floor_cpu));
  if (settings.peer.empty()) return;
  std::printf("peer, tasks a second  %10.0f\n", median(peers));
  std::printf("times the peer        %10.2f\n", median(of_peer));
}

// Each consumes what the one before it has made, so each waits for a committed artifact. The
// program copies its spec, since what is made must differ.
void measure_chain(const Settings& settings) {
  Running running(settings);
  std::vector<double> each;
  std::vector<double> floors;
  std::vector<double> peers;
  const auto count = static_cast<double>(settings.tasks);
  std::int64_t number = 0;
  const auto round = [&](std::int64_t tasks) {
    std::vector<TaskSpec> all;
    for (std::int64_t i = 0; i < tasks; ++i) {
      TaskSpec spec = task({"/bin/cp", "-t", "out"}, ++number);
      spec.outputs = {"spec.json"};
      if (i > 0)
        spec.inputs = {
            {.name = "before", .producer = all.back().key, .output = spec.outputs.front()}};
      spec.key = compute_key(spec);
      all.push_back(std::move(spec));
    }
    const std::string sweep = fmt::format("chain-{}", number);
    const auto began = Clock::now();
    running.submit(sweep, all);
    running.finish(sweep, tasks);
    return seconds_since(began);
  };
  (void)round(10);
  const fs::path made = running.folder() / "made";
  need(make_folder(made));
  need(write_file_unsynced(running.folder() / "spec.json", std::string(500, 'x')));
  const std::vector<std::string> argv{"/bin/cp", "-t", made.string(),
                                      (running.folder() / "spec.json").string()};
  std::printf("%10s %10s %10s\n", "ms each", "spawn, ms", "peer, ms");
  for (int i = 0; i < settings.rounds; ++i) {
    floors.push_back(1e3 * spawn_floor(argv, settings.tasks, 1) / count);
    each.push_back(1e3 * round(settings.tasks) / count);
    peers.push_back(ask_peer(settings, "ms each"));
    std::printf("%10.2f %10.2f %10.2f\n", each.back(), floors.back(), peers.back());
    std::fflush(stdout);
  }
  std::vector<double> above;
  for (std::size_t i = 0; i < each.size(); ++i) above.push_back(each[i] - floors[i]);
  std::printf("medians of %d chains of %lld tasks:\n", settings.rounds,
              static_cast<long long>(settings.tasks));
  std::printf("ms each               %10.2f\n", median(each));
  std::printf("ms of a spawn         %10.2f\n", median(floors));
  std::printf("ms above the spawn    %10.2f\n", median(above));
  if (!settings.peer.empty()) std::printf("peer, ms each         %10.2f\n", median(peers));
}

}  // namespace
}  // namespace strata::bench

int main(int argc, char** argv) {
  strata::bench::Settings settings{.folder = std::filesystem::temp_directory_path()};
  CLI::App app{"Real tasks through coordinator and worker, beside a plain spawn.",
               "strata-bench-true"};
  app.require_subcommand(1);
  app.add_option("--folder", settings.folder, "on a local disk")->capture_default_str();
  app.add_option("--worker-log", settings.worker_log)->capture_default_str();
  CLI::App* rate = app.add_subcommand("rate", "tasks of /bin/true, as many a second as go");
  CLI::App* chain = app.add_subcommand("chain", "tasks that wait for each other");
  for (CLI::App* command : {rate, chain}) {
    command->add_option("--tasks", settings.tasks, "in each round")->capture_default_str();
    command->add_option("--rounds", settings.rounds)->capture_default_str();
    command->add_option("--peer", settings.peer,
                        "a command that does the same with a peer and prints what it measured; "
                        "--tasks N is added");
  }
  CLI11_PARSE(app, argc, argv);
  if (*rate) strata::bench::measure_rate(settings);
  if (*chain) strata::bench::measure_chain(settings);
  return 0;
}

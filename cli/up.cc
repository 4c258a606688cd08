#include "cli/up.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "base/files.h"
#include "base/host.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "cli/render/progress.h"
#include "cli/render/text_table.h"
#include "cli/view.h"
#include "link/address_file.h"

namespace strata::cli {

namespace {

namespace fs = std::filesystem;

constexpr const char* kCoordinator = "strata-coordinator";
constexpr const char* kWorker = "strata-worker";
constexpr double kPollSeconds = 0.05;
constexpr double kStatusSeconds = 2.0;
constexpr double kCoordinatorPatienceSeconds = 600;  // a large log is replayed or restored first
constexpr double kWorkerPatienceSeconds = 60;
constexpr double kStopPatienceSeconds = 90;  // gangs write a checkpoint
constexpr std::size_t kLogTail = 600;        // bytes of a log shown when a process did not start

// A process that was started from here: the start time makes a reused number no match.
struct Started {
  std::string name{};
  pid_t pid = 0;
  std::string since{};
  std::uintmax_t log_begin = 0;  // bytes that earlier ones have left in its log
};

bool lives(const Started& started) {
  return started.pid > 0 && !started.since.empty() && start_time_of(started.pid) == started.since;
}

}  // namespace

Result<std::string> program_path(const std::string& name) {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error && fs::exists(self.parent_path() / name, error))
    return (self.parent_path() / name).string();
  auto found = find_program(name);
  if (!found)
    return fail(ErrorCode::kNotFound, "{} is neither beside {} nor in PATH", name, self.string());
  return found->string();
}

namespace {

Result<Started> start(const std::string& name, std::vector<std::string> arguments,
                      const fs::path& log) {
  STRATA_TRY(const std::string path, program_path(name));
  arguments.insert(arguments.begin(), path);
  std::error_code no_log;
  const std::uintmax_t size = fs::file_size(log, no_log);
  STRATA_TRY(const pid_t pid, spawn({.argv = std::move(arguments),
                                     .stdout_file = log,
                                     .stderr_file = log,
                                     .own_session = true}));
  return Started{
      .name = name, .pid = pid, .since = start_time_of(pid), .log_begin = no_log ? 0 : size};
}

// Of what this one has written: its predecessor's error is not its own.
std::string tail_of(const fs::path& log, const Started& started) {
  auto text = read_file(log);
  if (!text) return "";
  if (started.log_begin <= text->size()) text->erase(0, started.log_begin);
  return text->size() <= kLogTail ? *text : "…" + text->substr(text->size() - kLogTail);
}

Value as_json(const Started& started) {
  return Object{
      {"name", started.name}, {"pid", std::int64_t{started.pid}}, {"since", started.since}};
}

Started started_of(const Value& value) {
  return {.name = text_at(value, "name"),
          .pid = static_cast<pid_t>(integer_at(value, "pid")),
          .since = text_at(value, "since")};
}

struct Pair {
  Started coordinator{};
  Started worker{};
  std::map<std::string, std::string> options{};  // with which they were started
  bool options_known = false;                    // an earlier build did not write them down
};

// Those that were given, as words; paths from the root, since they are compared from elsewhere.
std::map<std::string, std::string> words_of(const UpOptions& options) {
  std::map<std::string, std::string> out;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) out[name] = value;
  };
  const auto add_path = [&](const char* name, const std::string& value) {
    std::error_code error;
    if (!value.empty()) out[name] = fs::absolute(value, error).lexically_normal().string();
  };
  add("--slots", options.slots > 0 ? std::to_string(options.slots) : "");
  add("--metrics", options.metrics);
  add_path("--models", options.models);
  add_path("--mirror", options.mirror);
  add_path("--restore", options.restore);
  return out;
}

// An option that what runs was not started with: it would change nothing, and say nothing.
Status check_same(const Pair& running, const UpOptions& options) {
  if (!running.options_known) return {};
  for (const auto& [name, value] : words_of(options)) {
    const auto before = running.options.find(name);
    if (before != running.options.end() && before->second == value) continue;
    return fail(
        ErrorCode::kConflict,
        "already up{}: {} {} would change nothing. End it with `strata up --stop`, then start "
        "it so",
        before == running.options.end() ? fmt::format(", without {}", name)
                                        : fmt::format(", with {} {}", name, before->second),
        name, value);
  }
  return {};
}

Pair read_pair(const fs::path& folder) {
  const auto text = read_file(folder / kUpFileName);
  if (!text) return {};
  const auto value = parse_json(*text);
  if (!value) return {};
  Pair out{.coordinator = started_of(at(*value, "coordinator")),
           .worker = started_of(at(*value, "worker")),
           .options_known = value->find("options") != nullptr};
  for (const auto& [name, word] : object_at(*value, "options"))
    out.options[name] = brief_text(word);
  return out;
}

Status write_pair(const fs::path& folder, const Pair& pair) {
  Object options;
  for (const auto& [name, word] : pair.options) options[name] = word;
  const Value value = Object{{"coordinator", as_json(pair.coordinator)},
                             {"worker", as_json(pair.worker)},
                             {"options", std::move(options)}};
  return write_file_atomic(folder / kUpFileName, to_pretty_json(value), 0600);
}

// Our own children must be collected, or they would live on as zombies; others are not ours to
// collect.
bool has_gone(const Started& started) {
  if (started.pid <= 0) return true;
  (void)poll_exit(started.pid);
  return !lives(started);
}

// Waits whatever is typed: a second interrupt ends this program at once, and the processes go on.
bool wait_until(double patience, const std::function<bool()>& done) {
  for (double waited = 0; waited < patience; waited += kPollSeconds) {
    if (done()) return true;
    ::usleep(static_cast<useconds_t>(kPollSeconds * 1e6));
  }
  return done();
}

Status stop_one(const Started& started) {
  if (has_gone(started)) return {};
  ::kill(started.pid, SIGTERM);
  if (wait_until(kStopPatienceSeconds, [&] { return has_gone(started); })) return {};
  return fail(ErrorCode::kUnavailable, "{} (process {}) has not ended within {}", started.name,
              started.pid, format_duration(kStopPatienceSeconds));
}

// The worker first: it brings its checkpoints to the coordinator.
Status stop_pair(const Pair& pair, const fs::path& folder) {
  const Status worker = stop_one(pair.worker);
  const Status coordinator = stop_one(pair.coordinator);
  STRATA_CHECK_OK(worker);
  STRATA_CHECK_OK(coordinator);
  std::error_code ignored;
  fs::remove(folder / kUpFileName, ignored);
  return {};
}

struct Places {
  fs::path folder{};
  [[nodiscard]] fs::path address_file() const { return folder / link::kAddressFileName; }
  [[nodiscard]] fs::path worker() const { return folder / "worker"; }
  [[nodiscard]] fs::path artifacts() const { return folder / "artifacts"; }
  [[nodiscard]] fs::path logs() const { return folder / "logs"; }
  [[nodiscard]] fs::path log(const char* name) const {
    return logs() / (std::string(name) + ".log");
  }
};

Status await_coordinator(const Places& places, const Started& coordinator) {
  const bool found = wait_until(kCoordinatorPatienceSeconds, [&] {
    if (has_gone(coordinator)) return true;
    const auto file = link::read_address_file(places.address_file());
    return file && file->pid == coordinator.pid;
  });
  if (found && !has_gone(coordinator)) return {};
  return fail(ErrorCode::kUnavailable, "the coordinator did not start; {} ends with:\n{}",
              places.log("coordinator").string(), tail_of(places.log("coordinator"), coordinator));
}

Status await_worker(Client& client, const Places& places, const Started& worker) {
  const bool found = wait_until(kWorkerPatienceSeconds, [&] {
    if (has_gone(worker)) return true;
    const auto status = client.ask("status", Object{});
    return status && integer_at(*status, "workers") > 0;
  });
  if (found && !has_gone(worker)) return {};
  return fail(ErrorCode::kUnavailable, "the worker did not start; {} ends with:\n{}",
              places.log("worker").string(), tail_of(places.log("worker"), worker));
}

Result<Pair> start_pair(const UpOptions& options, const Places& places) {
  for (const fs::path& folder : {places.folder, places.worker(), places.artifacts(), places.logs()})
    STRATA_CHECK_OK(make_folder(folder));
  std::vector<std::string> arguments = {"--store", places.folder.string(), "--artifacts",
                                        places.artifacts().string()};
  const auto pass_on = [&](const char* option, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {option, value});
  };
  pass_on("--metrics", options.metrics);
  pass_on("--mirror", options.mirror);
  pass_on("--restore", options.restore);
  Pair pair{.options = words_of(options)};
  STRATA_TRY(pair.coordinator, start(kCoordinator, arguments, places.log("coordinator")));
  const auto rest = [&]() -> Status {
    STRATA_CHECK_OK(write_pair(
        places.folder, pair));  // before anything can interrupt us: `up --stop` must find it
    STRATA_CHECK_OK(await_coordinator(places, pair.coordinator));
    arguments = {"--coordinator", places.address_file().string(), "--folder",
                 places.worker().string()};
    if (options.slots > 0)
      arguments.insert(arguments.end(), {"--slots", std::to_string(options.slots)});
    if (!options.models.empty()) arguments.insert(arguments.end(), {"--models", options.models});
    STRATA_TRY(pair.worker, start(kWorker, arguments, places.log("worker")));
    STRATA_CHECK_OK(write_pair(places.folder, pair));
    STRATA_TRY(const auto client, connect(places.address_file().string()));
    return await_worker(*client, places, pair.worker);
  };
  if (auto status = rest(); !status) {
    (void)stop_pair(pair, places.folder);  // the first error is the one to tell
    return tl::unexpected(status.error());
  }
  return pair;
}

Value places_json(const Places& places, const Pair& pair) {
  const auto address = link::read_address_file(places.address_file());
  return Object{{"folder", places.folder.string()},
                {"coordinator_file", places.address_file().string()},
                {"artifacts", places.artifacts().string()},
                {"worker", places.worker().string()},
                {"logs", places.logs().string()},
                {"metrics", address && !address->metrics_address.empty()
                                ? "http://" + address->metrics_address + "/metrics"
                                : ""},
                {"coordinator_pid", std::int64_t{pair.coordinator.pid}},
                {"worker_pid", std::int64_t{pair.worker.pid}}};
}

std::string places_text(const Places& places, const Pair& pair, const Palette& palette) {
  const Value json = places_json(places, pair);
  std::vector<std::pair<std::string, std::string>> lines = {
      {"store", text_at(json, "folder")},
      {"artifacts", text_at(json, "artifacts")},
      {"attempts", (places.worker() / "attempts").string()},
      {"logs", text_at(json, "logs")}};
  if (!text_at(json, "metrics").empty()) lines.emplace_back("metrics", text_at(json, "metrics"));
  if (places.folder != link::default_store_folder()) {
    lines.emplace_back("other commands", fmt::format("export {}={}", link::kCoordinatorVariable,
                                                     places.address_file().string()));
  }
  return fmt::format("coordinator (process {}) and worker (process {}) are up\n",
                     pair.coordinator.pid, pair.worker.pid) +
         key_value_lines(lines, palette);
}

std::string status_line(const Value& status) {
  const Value& tasks = at(status, "tasks");
  return fmt::format("{} of {} slots busy; tasks: {} running, {} waiting, {} succeeded, {} failed",
                     integer_at(status, "slots") - integer_at(status, "slots_free"),
                     integer_at(status, "slots"),
                     integer_at(tasks, "running") + integer_at(tasks, "leased"),
                     integer_at(tasks, "queued") + integer_at(tasks, "blocked"),
                     integer_at(tasks, "succeeded"), integer_at(tasks, "failed"));
}

// Until interrupted, or until one of the two is gone.
Result<int> stay(Context& context, const Places& places, const Pair& pair) {
  STRATA_TRY(const auto client, connect(places.address_file().string()));
  std::string shown;
  while (context.wait(kStatusSeconds)) {
    for (const Started* started : {&pair.coordinator, &pair.worker}) {
      if (!has_gone(*started)) continue;
      const char* log = started == &pair.worker ? "worker" : "coordinator";
      (void)stop_pair(pair, places.folder);
      return fail(ErrorCode::kUnavailable, "{} has ended; {} ends with:\n{}", started->name,
                  places.log(log).string(), tail_of(places.log(log), *started));
    }
    const auto status = client->ask("status", Object{});
    const std::string line = status ? status_line(*status) : status.error().message;
    if (line == shown || context.json) continue;
    shown = line;
    context.print(context.terminal ? "\r\x1b[K" + shorten(line, context.width - 1) : line + "\n");
  }
  if (!context.json)
    context.print(std::string(context.terminal ? "\n" : "") +
                  "stopping: programs are asked for a checkpoint\n");
  STRATA_CHECK_OK(stop_pair(pair, places.folder));
  return kExitOk;
}

fs::path folder_of(const std::string& option) {
  std::error_code error;
  return option.empty() ? link::default_store_folder()
                        : fs::absolute(option, error).lexically_normal();
}

}  // namespace

Result<int> run_up(Context& context, const UpOptions& options) {
  const Places places{folder_of(options.folder)};
  const Pair before = read_pair(places.folder);
  if (lives(before.coordinator) && lives(before.worker)) {
    STRATA_CHECK_OK(check_same(before, options));
    context.answer(places_json(places, before),
                   "already up: " + places_text(places, before, context.palette));
    return kExitOk;
  }
  if (lives(before.coordinator) || lives(before.worker))
    STRATA_CHECK_OK(stop_pair(before, places.folder));  // half of it is left
  STRATA_TRY(const Pair pair, start_pair(options, places));
  context.answer(places_json(places, pair), places_text(places, pair, context.palette));
  if (options.detach) return kExitOk;
  if (!context.json) context.print("Ctrl-C stops both; --detach leaves them in the background\n");
  return stay(context, places, pair);
}

Result<int> run_down(Context& context, const std::string& folder) {
  const fs::path where = folder_of(folder);
  const Pair pair = read_pair(where);
  if (!lives(pair.coordinator) && !lives(pair.worker)) {
    context.answer(Object{{"stopped", false}},
                   fmt::format("nothing is up in {}\n", where.string()));
    return kExitOk;
  }
  STRATA_CHECK_OK(stop_pair(pair, where));
  context.answer(Object{{"stopped", true}},
                 fmt::format("stopped the coordinator and the worker of {}\n", where.string()));
  return kExitOk;
}

}  // namespace strata::cli

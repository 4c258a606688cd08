// strata-worker: owns the slots of this machine and runs what the coordinator gives it.
//
// SIGTERM or SIGINT drains it: running programs are asked for a checkpoint and to stop; a second
// one kills them. Exit codes: 0 ended as asked, 1 could not start, or does not see
// the coordinator's artifacts, 2 wrong usage, 3 the coordinator refused it for good.
#include <sys/file.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <fcntl.h>
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "base/host.h"
#include "base/log.h"
#include "worker/agent_loop.h"
#include "worker/allocation.h"

namespace {

namespace fs = std::filesystem;
namespace worker = strata::worker;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitRefused = 3;
constexpr std::chrono::seconds kLeftoverPatience{10};
constexpr std::int64_t kSlotsMax = 1'000'000;                 // as many as a coordinator takes
constexpr std::int64_t kMemoryMbMax = std::int64_t{1} << 26;  // 64 TiB, as of a stage

struct Settings {
  std::string coordinator{};
  std::string folder{};
  std::string models{};
  std::string name{};
  std::vector<std::string> labels{};
  std::optional<std::int64_t> slots{};
  std::optional<std::int64_t> memory_mb{};
  std::optional<std::int64_t> lifetime_minutes{};
  std::size_t keep = worker::kEndedFoldersKept;
  bool no_gpus = false;
  bool verify_inputs = false;
};

int parse(int argc, char** argv, Settings& settings) {
  CLI::App app("Runs attempts that a Strata coordinator gives to this machine.", "strata-worker");
  app.set_version_flag("--version", STRATA_BUILD);
  app.add_option("--coordinator", settings.coordinator,
                 "its address file (default: $STRATA_COORDINATOR, else the store of `strata up`)");
  app.add_option("--folder", settings.folder, "where this worker keeps its attempts: a local disk")
      ->required();
  app.add_option("--slots", settings.slots,
                 "how many slots to offer (default: the GPUs, or the cores where there are none)")
      ->check(CLI::Range(std::int64_t{1}, kSlotsMax));
  app.add_option("--memory", settings.memory_mb,
                 "MiB of memory to offer (default: what the cgroup, Slurm and the machine leave)")
      ->check(CLI::Range(std::int64_t{1}, kMemoryMbMax))
      ->type_name("MIB");
  app.add_option("--lifetime", settings.lifetime_minutes,
                 "minutes until this worker has to end (default: Slurm's SLURM_JOB_END_TIME, else "
                 "it has no end)")
      ->type_name("MINUTES");
  app.add_option("--label", settings.labels, "a label that stages may ask for; may be repeated");
  app.add_option("--models", settings.models,
                 "folder of exported models (default: $STRATA_MODELS)");
  app.add_option("--name", settings.name, "for people (default: host and folder)");
  app.add_option("--keep", settings.keep, "how many folders of ended attempts to keep")
      ->capture_default_str();
  app.add_flag("--no-gpus", settings.no_gpus,
               "slots are shares of the cores, even where there are GPUs");
  app.add_flag("--verify-inputs", settings.verify_inputs,
               "read every byte of an attempt's inputs and compare its hash first");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? -1 : kExitUsage;
  }
  return 0;
}

int failed(const strata::Error& error) {
  strata::log_error("worker", "{}", error.message);
  return kExitFailed;
}

// Blocked before any thread exists, so that no thread gets them; the loop reads them here.
strata::FileDescriptor take_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT}) sigaddset(&signals, signal);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return strata::FileDescriptor(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
}

// Two workers in one folder would kill each other's attempts.
strata::Result<strata::FileDescriptor> lock_folder(const fs::path& folder) {
  const fs::path file = folder / "lock";
  strata::FileDescriptor fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd.valid())
    return strata::fail(strata::ErrorCode::kUnavailable, "opening {}: {}", file.string(),
                        std::strerror(errno));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return strata::fail(strata::ErrorCode::kConflict,
                        "{}: another worker uses this folder; give each its own --folder",
                        folder.string());
  }
  return fd;
}

std::uint64_t random_session() {
  std::random_device device;
  const std::uint64_t session = (std::uint64_t{device()} << 32U) | device();
  return session == 0 ? 1 : session;
}

fs::path own_folder() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path(".") : program.parent_path();
}

int run(const Settings& settings) {
  const strata::FileDescriptor signals = take_signals();
  std::error_code error;
  const fs::path folder = fs::absolute(settings.folder, error).lexically_normal();
  if (auto made = strata::make_folder(folder / "attempts"); !made) return failed(made.error());
  const auto lock = lock_folder(folder);
  if (!lock) return failed(lock.error());
  const auto secrets = worker::Secrets::gather(folder / "secrets");
  if (!secrets) return failed(secrets.error());
  if (auto status = worker::become_subreaper(); !status) return failed(status.error());
  const auto leftovers =
      worker::end_leftovers(folder / "attempts", worker::kMemoryFolder, kLeftoverPatience);
  if (!leftovers) return failed(leftovers.error());
  const auto inventory = worker::take_inventory(settings.slots, settings.labels, !settings.no_gpus);
  if (!inventory) return failed(inventory.error());
  auto link =
      strata::link::CoordinatorLink::open(strata::link::find_address_file(settings.coordinator));
  if (!link) return failed(link.error());

  const std::uint64_t session = random_session();
  const std::string host = strata::host_name();
  const char* models = std::getenv("STRATA_MODELS");
  const fs::path model_folder = !settings.models.empty() ? settings.models
                                : models != nullptr      ? models
                                                         : "";
  const strata::SystemClock clock;
  const auto environment = worker::process_environment();
  const auto left = worker::lifetime_left(settings.lifetime_minutes, clock.wall(), environment);
  if (!left) return failed(left.error());
  const std::int64_t memory_mb =
      settings.memory_mb.value_or(worker::take_memory_mb(strata::Cgroup::own(), environment));
  worker::Launcher launcher(own_folder() / "strata-guard", folder / "attempts");
  worker::WorkPool pool;
  worker::Attempts attempts(
      {.folder = folder,
       .programs = own_folder(),
       .models = model_folder.empty() ? model_folder : fs::absolute(model_folder, error),
       .build = STRATA_BUILD,
       .host = host,
       .verify_inputs = settings.verify_inputs ? worker::Verify::kHashes : worker::Verify::kSizes,
       .ended_folders_kept = settings.keep},
      *inventory, *secrets, launcher, pool);
  worker::Agent agent({.name = settings.name.empty() ? host + ":" + folder.string() : settings.name,
                       .session = session,
                       .slots = inventory->slots,
                       .labels = inventory->labels,
                       .build = STRATA_BUILD,
                       .memory_mb = memory_mb,
                       .ends_at = *left ? std::optional(clock.now() + **left) : std::nullopt},
                      clock.now());
  strata::log_info("worker", "{} slots ({}), {} MiB{} in {}, coordinator at {}", inventory->slots,
                   inventory->gpus.empty() ? "cores" : "GPUs", memory_mb,
                   *left ? fmt::format(", for {} min", (*left)->count() / 60'000) : "",
                   folder.string(), link->address().address);
  worker::AgentLoop loop(agent, *link, attempts, launcher, pool, clock, signals.get());
  const worker::LoopEnd end = loop.run();
  strata::log_info("worker", "ended");
  switch (end) {
    case worker::LoopEnd::kDone: return 0;
    case worker::LoopEnd::kRefused: return kExitRefused;
    case worker::LoopEnd::kNoStore: return kExitFailed;
  }
  return kExitFailed;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  const int usage = parse(argc, argv, settings);
  if (usage != 0) return usage < 0 ? 0 : usage;
  return run(settings);
}

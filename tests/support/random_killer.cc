#include "tests/support/random_killer.h"

#include <fmt/format.h>

#include <utility>

#include "base/files.h"

namespace strata::testing {
namespace {

constexpr const char* kCoordinator = "";
constexpr std::int64_t kWorkerSlots = 2;

// A guard without an attempt: to kill it disturbs nobody, and there is always one.
bool is_idle_guard(const MarkedProcess& process) {
  if (process.kind != ProcessKind::kGuard) return false;
  const auto children = read_file(fmt::format("/proc/{0}/task/{0}/children", process.pid));
  return children && children->empty();
}

}  // namespace

RandomKiller::RandomKiller(ClusterHarness& cluster, std::string mark, KillerOptions options)
    : cluster_(cluster),
      mark_(std::move(mark)),
      options_(std::move(options)),
      random_(options_.seed),
      began_(std::chrono::steady_clock::now()),
      strike_at_(began_ + between(0, 1'000)),
      kills_left_(options_.kills_least + static_cast<std::int64_t>(random_.bounded(
                                             static_cast<std::uint64_t>(options_.kills_more)))) {}

std::chrono::milliseconds RandomKiller::between(std::int64_t low_ms, std::int64_t high_ms) {
  return std::chrono::milliseconds(low_ms + static_cast<std::int64_t>(random_.bounded(
                                                static_cast<std::uint64_t>(high_ms - low_ms))));
}

void RandomKiller::tell(const std::string& what) {
  const std::chrono::duration<double> at = std::chrono::steady_clock::now() - began_;
  story_ += fmt::format("  {:7.3f} s  {}\n", at.count(), what);
}

Daemon& RandomKiller::daemon(const std::string& name) {
  return name == kCoordinator ? cluster_.coordinator() : cluster_.worker(name);
}

void RandomKiller::turn() {
  const Time now = std::chrono::steady_clock::now();
  supervise(now);
  if (kills_left_ == 0 || now < strike_at_) return;
  strike(now);
  // Now and then two at once, or shortly one after the other: so it is when memory runs out.
  if (kills_left_ > 0 && random_.bounded(4) == 0) strike(now);
  strike_at_ = now + (random_.bounded(3) == 0 ? between(0, 40) : between(80, 900));
}

std::optional<MarkedProcess> RandomKiller::draw() {
  std::map<ProcessKind, std::vector<MarkedProcess>> targets;
  for (MarkedProcess& process : marked_processes(mark_)) {
    if (!is_idle_guard(process)) targets[process.kind].push_back(std::move(process));
  }
  if (kills_[ProcessKind::kCoordinator] >= options_.coordinator_kills_max)
    targets.erase(ProcessKind::kCoordinator);
  if (kills_[ProcessKind::kWorker] >= options_.worker_kills_max)
    targets.erase(ProcessKind::kWorker);
  if (targets.empty()) return {};
  // Every kind is as likely as another, however many of it there are.
  const auto kind =
      std::next(targets.begin(), static_cast<std::ptrdiff_t>(random_.bounded(targets.size())));
  return kind->second[random_.bounded(kind->second.size())];
}

void RandomKiller::strike(Time now) {
  const auto target = draw();
  if (!target) return;
  std::optional<std::string> daemon_name;
  if (target->pid == cluster_.coordinator().pid()) daemon_name = kCoordinator;
  for (const std::string& name : options_.workers) {
    if (target->pid == cluster_.worker(name).pid()) daemon_name = name;
  }
  if (daemon_name) {
    kill_daemon(*daemon_name, now);
  } else if (!kill_marked(*target, mark_)) {
    return;  // it ended while we aimed
  }
  --kills_left_;
  ++kills_[target->kind];
  tell(fmt::format("kill -9 of {} {} {} {}", name_of(target->kind), target->pid, target->attempt,
                   target->command));
}

void RandomKiller::kill_daemon(const std::string& name, Time now) {
  daemon(name).kill();
  back_at_[name] = now + between(0, 500);
}

void RandomKiller::supervise(Time now) {
  std::vector<std::string> names = options_.workers;
  names.emplace_back(kCoordinator);
  for (const std::string& name : names) {
    const auto down = back_at_.find(name);
    if (down == back_at_.end()) {
      const auto exit = daemon(name).wait(std::chrono::seconds(0));
      if (!exit) continue;
      ++unexpected_ends_;
      tell(fmt::format("{} ended by itself: {}", name == kCoordinator ? "the coordinator" : name,
                       exit->describe()));
      back_at_[name] = now + between(0, 500);
      continue;
    }
    if (now < down->second) continue;
    back_at_.erase(down);
    if (name == kCoordinator) {
      cluster_.launch_coordinator();
    } else {
      cluster_.start_worker(name, kWorkerSlots);
    }
  }
}

}  // namespace strata::testing

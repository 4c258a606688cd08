// Whose fault it is. A report says what failed; what failed elsewhere says whether it was the task
// or the worker:
//
//   * one task failing on three workers is the task (Cluster::verdict);
//   * three tasks failing on one worker within an hour, none of which failed anywhere else, with
//     nothing succeeding between, is the worker: it goes into quarantine, and the tasks are
//     forgiven;
//   * a task that was blamed on a worker and fails elsewhere, too, takes the blame back.
//
// The way back: after a time, which doubles, the worker gets one task; doing it well releases it.

#include <algorithm>

#include "base/random.h"
#include "coordinator/core/admission.h"
#include "coordinator/core/core.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kTasksBlamedOnWorker = 3;
constexpr std::chrono::hours kBlameWindow{1};
constexpr std::size_t kFailuresKeptMax = 64;  // of one worker; the newest tell enough
constexpr int kDoublingsMax = 30;

// What may be the worker's fault though the report does not say so.
bool may_be_the_worker(FailureClass cause) {
  return cause == FailureClass::kUser || cause == FailureClass::kInfra;
}

bool is_the_worker(const Failed& failed) {
  return failed.cause == FailureClass::kNode || failed.cause == FailureClass::kStorage ||
         failed.action == LogAction::kQuarantineWorker;
}

bool failed_elsewhere(const Task& task, const std::string& worker) {
  return std::any_of(task.trouble().failed_on.begin(), task.trouble().failed_on.end(),
                     [&](const std::string& name) { return name != worker; });
}

}  // namespace

// What the worker reports, as the coordinator believes it.
Outcome Core::judge(const ReportEnded& report, const Task& task) const {
  Outcome outcome = admitted(report.outcome, task.spec.outputs(), task.spec.inputs());
  if (auto* failed = std::get_if<Failed>(&outcome)) {
    failed->delay_ms = backoff_ms(task, failed->cause);
  } else if (auto* lost = std::get_if<Lost>(&outcome)) {
    lost->delay_ms = backoff_ms(task, FailureClass::kInfra);
  }
  return outcome;
}

// Doubles with each failure on the same account, up to backoff_max. Up to a quarter more by the
// task's key and attempt, because the core has no other randomness: what failed together does not
// come back together.
std::int64_t Core::backoff_ms(const Task& task, FailureClass cause) const {
  std::int64_t failures = 0;
  switch (charge_of(cause)) {
    case Charge::kTask: failures = task.user_failures; break;
    case Charge::kInfrastructure: failures = task.infra_failures; break;
    // The first costs no time: the batch system has already taken some.
    case Charge::kNobody: failures = task.ends_without_progress - 1; break;
  }
  if (failures < 0) return 0;
  const auto doublings =
      static_cast<unsigned>(std::clamp<std::int64_t>(failures, 0, kDoublingsMax));
  const std::int64_t longest = options_.backoff_max.count();
  const std::int64_t whole =
      std::min<std::int64_t>(options_.backoff_first.count() << doublings, longest * 4 / 5);
  std::uint64_t salt = 0;
  for (std::size_t i = 0; i < 8; ++i) salt = salt << 8U ^ task.spec.key().bytes().at(i);
  salt ^= task.attempts;
  const std::int64_t jitter = std::max<std::int64_t>(whole / 4, 1);
  return whole + static_cast<std::int64_t>(Random::hash(salt) % static_cast<std::uint64_t>(jitter));
}

void Core::attribute(Step& step, const AttemptId& attempt, const std::string& worker,
                     const Failed& failed) {
  const TaskKey& key = attempt.task;
  if (is_the_worker(failed)) return quarantine(step, worker, failed.reason);
  if (!may_be_the_worker(failed.cause)) return;
  // Blamed on another worker, and fails here, too: that one was innocent.
  std::vector<std::string> innocent;
  for (const auto& [name, tasks] : blamed_) {
    if (name != worker && tasks.contains(key)) innocent.push_back(name);
  }
  for (const std::string& name : innocent) {
    release_from_quarantine(
        step, name,
        fmt::format("{}, which was blamed on it, fails on {}, too", key.brief(), worker));
  }
  const Quarantine* known = cluster_.find_quarantine(worker);
  if (known != nullptr) {
    if (known->probing && !failed_elsewhere(*cluster_.find_task(key), worker))
      quarantine(step, worker, failed.reason);
    return;
  }
  std::deque<RecentFailure>& recent = failures_[worker];
  recent.push_back(
      {.at = step.now, .task = key, .charged = charge_of(failed.cause) == Charge::kTask});
  if (recent.size() > kFailuresKeptMax) recent.pop_front();
  std::set<TaskKey> tasks;
  for (const RecentFailure& failure : recent) {
    if (!failed_elsewhere(*cluster_.find_task(failure.task), worker)) tasks.insert(failure.task);
  }
  if (tasks.size() < kTasksBlamedOnWorker || !others_could_work(worker, step.now)) return;
  const std::string reason = fmt::format("{} tasks failed there and nowhere else, the last one: {}",
                                         tasks.size(), failed.reason);
  std::map<TaskKey, std::int64_t> forgiven;
  for (const RecentFailure& failure : recent) {
    if (failure.charged && tasks.contains(failure.task)) ++forgiven[failure.task];
  }
  quarantine(step, worker, reason);
  blamed_[worker] = tasks;
  for (const auto& [task, count] : forgiven) {
    const std::int64_t charged = std::min(count, cluster_.find_task(task)->user_failures);
    if (charged > 0)
      record(step, FailureForgiven{.task = task, .user_failures = charged, .reason = reason});
  }
}

void Core::forget_old_failures(Instant now) {
  for (auto it = failures_.begin(); it != failures_.end();) {
    std::erase_if(it->second, [&](const RecentFailure& f) { return now - f.at > kBlameWindow; });
    it = it->second.empty() ? failures_.erase(it) : std::next(it);
  }
}

// Nothing is compared with a worker that is alone, and without it nothing would run at all.
bool Core::others_could_work(const std::string& worker, Instant now) const {
  const std::vector<Machine> all = machines(now);
  return std::any_of(all.begin(), all.end(), [&](const Machine& machine) {
    return machine.worker->name != worker && !machine.worker->draining && !machine.silent &&
           machine.quarantine == nullptr;
  });
}

void Core::note_success(Step& step, const std::string& worker) {
  failures_.erase(worker);
  const Quarantine* quarantine = cluster_.find_quarantine(worker);
  if (quarantine != nullptr && quarantine->probing)
    release_from_quarantine(step, worker, "it did the task that it was given to prove itself");
}

void Core::quarantine(Step& step, const std::string& worker, const std::string& reason) {
  const Quarantine* before = cluster_.find_quarantine(worker);
  // What still ran there when it went into quarantine may fail, too: that is no news.
  if (before != nullptr && !before->probing) return;
  const std::int64_t for_ms =
      before == nullptr
          ? options_.quarantine_first.count()
          : std::min<std::int64_t>(2 * before->for_ms, options_.quarantine_max.count());
  record(step, WorkerQuarantined{.name = worker, .reason = for_people(reason), .for_ms = for_ms});
  quarantined_until_[worker] = step.now + std::chrono::milliseconds(for_ms);
  failures_.erase(worker);
}

void Core::release_from_quarantine(Step& step, const std::string& worker,
                                   const std::string& reason) {
  quarantined_until_.erase(worker);
  blamed_.erase(worker);
  if (cluster_.find_quarantine(worker) != nullptr)
    record(step, WorkerReleased{.name = worker, .reason = for_people(reason)});
}

}  // namespace strata::coordinator

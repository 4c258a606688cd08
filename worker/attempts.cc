#include "worker/attempts.h"

#include <unistd.h>

#include <algorithm>

#include "base/assert.h"
#include "base/files.h"
#include "base/log.h"
#include "worker/outcome.h"

namespace strata::worker {
namespace {

std::string in_words(const Outcome& outcome) {
  struct Words {
    std::string operator()(const Succeeded&) const { return "succeeded"; }
    std::string operator()(const Failed& f) const {
      return fmt::format("failed ({}): {}", name_of(f.cause), f.reason);
    }
    std::string operator()(const Lost& l) const { return "lost: " + l.reason; }
    std::string operator()(const Stopped& s) const { return "stopped: " + s.reason; }
    std::string operator()(const Diverged& d) const { return "diverged: " + d.reason; }
  };
  return std::visit(Words{}, outcome);
}

void redact(Outcome& outcome, const Secrets& secrets) {
  if (auto* failed = std::get_if<Failed>(&outcome)) {
    failed->reason = secrets.redact(failed->reason);
    failed->signature = secrets.redact(failed->signature);
  }
  if (auto* diverged = std::get_if<Diverged>(&outcome))
    diverged->reason = secrets.redact(diverged->reason);
  if (auto* succeeded = std::get_if<Succeeded>(&outcome)) {
    std::map<std::string, std::string> recorded;
    for (const auto& [name, text] : succeeded->recorded)
      recorded.emplace(secrets.redact(name), secrets.redact(text));
    succeeded->recorded = std::move(recorded);
    for (Score& score : succeeded->scores) {
      for (std::string* text : {&score.name, &score.unit, &score.judge})
        *text = secrets.redact(*text);
    }
  }
}

std::int64_t slots_of(const Gang& gang) {
  std::int64_t slots = 0;
  for (const Grant& grant : gang) slots += grant.slots;  // a gang lies within one worker
  return slots;
}

}  // namespace

Attempts::Attempts(AttemptsOptions options, const Inventory& inventory, const Secrets& secrets,
                   Launcher& launcher, WorkPool& pool)
    : options_(std::move(options)),
      inventory_(inventory),
      secrets_(secrets),
      launcher_(launcher),
      pool_(pool),
      scratch_prefix_(scratch_prefix(options_.folder / "attempts")),
      code_(options_.folder / "code"),
      slots_(inventory.slots),
      ended_folders_(options_.folder / "attempts", options_.ended_folders_kept) {}

Attempts::Attempt* Attempts::find(const AttemptId& id) {
  const auto it = running_.find(id);
  return it == running_.end() ? nullptr : &it->second;
}

void Attempts::submit(const AttemptId& id, WorkPool::Job job) {
  if (Attempt* attempt = find(id)) attempt->in_pool = true;
  waiting_jobs_.push_back(std::move(job));
  drain_waiting();
}

void Attempts::drain_waiting() {
  while (!waiting_jobs_.empty() && pool_.submit(waiting_jobs_.front())) waiting_jobs_.pop_front();
}

// --- what the core is told ---

void Attempts::tell(const AttemptId& id, Input input) {
  told_.push_back({.input = std::move(input), .attempt = id, .since = now_});
}

bool Attempts::waits_for_points(const Told& told) const {
  const auto spool = spools_.find(told.attempt);
  if (spool == spools_.end() || now_ - told.since >= kPointsPatience) return false;
  const auto oldest = spool->second.tail.oldest_pending_step();
  if (!oldest) return false;
  if (const auto* stored = std::get_if<CheckpointStored>(&told.input))
    return *oldest <= stored->step;
  // Points of a failure behind its last checkpoint are of a branch that is over.
  const auto* ended = std::get_if<ProcessEnded>(&told.input);
  return ended != nullptr && (std::holds_alternative<Succeeded>(ended->outcome) ||
                              std::holds_alternative<Diverged>(ended->outcome));
}

std::vector<Input> Attempts::take_inputs() {
  std::vector<Input> due;
  std::vector<Told> waiting;
  for (Told& told : told_) {
    const bool behind = std::any_of(waiting.begin(), waiting.end(), [&](const Told& other) {
      return other.attempt == told.attempt;
    });
    if (behind || waits_for_points(told)) {
      waiting.push_back(std::move(told));
    } else {
      due.push_back(std::move(told.input));
    }
  }
  told_ = std::move(waiting);
  return due;
}

// --- the beginning ---

void Attempts::launch(const StartAttempt& order, Instant now) {
  now_ = now;
  const AttemptId id = order.attempt;
  if (running_.contains(id)) return;
  const auto it =
      running_.emplace(id, Attempt{.order = order, .directory = {options_.folder / "attempts", id}})
          .first;
  it->second.began = now;
  ended_folders_.keep(it->second.directory.folder());
  auto slots = slots_.take(slots_of(order.gang));
  if (!slots)
    return end(
        id, Failed{.cause = FailureClass::kInfra, .reason = "the worker has no slots left for it"},
        {});
  it->second.slots = std::move(*slots);
  if (order.inputs.empty() && !order.resume_from && !order.spec.code) return on_prepared(id, {});
  if (!store_)
    return end(
        id, Failed{.cause = FailureClass::kInfra, .reason = "the artifact store cannot be reached"},
        {});
  submit(id, [this, order, store = *store_]() -> WorkPool::Completion {
    return [this, id = order.attempt, inputs = prepare(store, order)] { on_prepared(id, inputs); };
  });
}

// In the pool: nothing here but what is safe on any thread.
InputCheck Attempts::prepare(const ArtifactStore& store, const StartAttempt& order) {
  InputCheck result = check_inputs(store, order, options_.verify_inputs);
  if (!result.why.empty() || !order.spec.code) return result;
  auto code = code_.lay_out(store, order.spec.code->hash, order.attempt);
  if (code) {
    result.code = std::move(*code);
    return result;
  }
  const ErrorCode why = code.error().code;
  result.no_code = why == ErrorCode::kNotFound || why == ErrorCode::kDamaged;
  result.unknown = !result.no_code;
  result.why = "its code: " + code.error().message;
  if (result.no_code) result.why += "; submit the sweep again, which stores it anew";
  return result;
}

void Attempts::on_prepared(const AttemptId& id, const InputCheck& inputs) {
  Attempt* attempt = find(id);
  STRATA_ASSERT(attempt != nullptr);
  attempt->in_pool = false;
  if (attempt->stop_reason) return end(id, Stopped{.reason = *attempt->stop_reason}, {});
  if (!inputs.why.empty()) {
    const FailureClass cause = inputs.no_code   ? FailureClass::kInvalid
                               : inputs.unknown ? FailureClass::kInfra
                                                : FailureClass::kData;
    return end(id, Failed{.cause = cause, .reason = inputs.why}, inputs.lost);
  }
  attempt->code = inputs.code;
  const auto status = start_program(*attempt);
  if (status) {
    log_info("worker", "attempt {} ({}): started on {} slots in {}", id.text(),
             attempt->order.spec.stage, attempt->slots.size(),
             attempt->directory.folder().string());
    tell(id, ProcessStarted{.attempt = id});
    return;
  }
  const bool invalid =
      status.error().code == ErrorCode::kNotFound || status.error().code == ErrorCode::kInvalid;
  end(id,
      Failed{.cause = invalid ? FailureClass::kInvalid : FailureClass::kInfra,
             .reason = status.error().message},
      {});
}

std::filesystem::path Attempts::scratch_of(const Attempt& attempt) const {
  if (attempt.order.spec.resources.ranks == 0) return {};
  if (::access(kMemoryFolder, W_OK) != 0) return attempt.directory.folder() / "tmp";
  const AttemptId& id = attempt.order.attempt;
  return std::filesystem::path(kMemoryFolder) /
         fmt::format("{}{}-{}", scratch_prefix_, id.task.brief(), id.number);
}

Status Attempts::make_folder_of(const Attempt& attempt) {
  const bool outputs = !attempt.order.spec.outputs.empty();
  if (auto oldest = ended_folders_.take_oldest(running_.size())) {
    if (!outputs && attempt.directory.take_over(*oldest)) return {};
    remove_in_pool(std::move(*oldest));
  }
  return attempt.directory.create(outputs);
}

Status Attempts::start_program(Attempt& attempt) {
  const TaskSpec& spec = attempt.order.spec;
  const RunDirectory& directory = attempt.directory;
  if (spec.program.argv.empty())
    return fail(ErrorCode::kInvalid, "stage {}: its program has no command", spec.stage);
  STRATA_TRY(auto environment, secrets_.resolve(spec.secrets));
  const std::vector<std::string> argv = command_in(spec.program.argv, attempt.code);
  STRATA_TRY(const auto program, find_stage_program(options_.programs, argv.front()));
  STRATA_CHECK_OK(make_folder_of(attempt));
  SpecPaths paths{.models = options_.models};
  for (const auto& [name, ref] : attempt.order.inputs)
    paths.inputs.emplace(name, store_->content(ref.hash));
  if (attempt.order.resume_from) paths.resume = store_->content(attempt.order.resume_from->hash);
  STRATA_CHECK_OK(
      write_file_in_place(directory.spec_file(), stage_spec_text(attempt.order, directory, paths)));

  LaunchOrder launch{.attempt = attempt.order.attempt.text(),
                     .argv = argv,
                     .ranks = spec.resources.ranks > 0,
                     .folder = directory.folder(),
                     .log_file = directory.log_file(),
                     .scratch = scratch_of(attempt)};
  launch.argv.front() = program.string();
  launch.argv.push_back(directory.spec_file().string());
  environment["OMP_NUM_THREADS"] =
      std::to_string(std::max<std::int64_t>(1, spec.resources.threads));
  environment["OMP_WAIT_POLICY"] = "passive";
  environment["STRATA_ATTEMPT"] = launch.attempt;
  // Root may write where nobody may: Python would leave its own files in the frozen code.
  if (!attempt.code.empty()) environment["PYTHONDONTWRITEBYTECODE"] = "1";
  for (auto& [name, value] : slot_environment(inventory_, attempt.slots)) environment[name] = value;
  if (launch.ranks) {
    const MpiOptions mpi{.scratch = launch.scratch, .ranks = spec.resources.ranks};
    launch.argv = mpi_argv(launch.argv, mpi);
    for (auto& [name, value] : mpi_environment(mpi)) environment[name] = value;
  }
  launch.environment = std::move(environment);
  attempt.witness = std::make_shared<Witness>(Witness::begin("/dev/kmsg", cgroup_));
  STRATA_TRY(const pid_t guard, launcher_.start(launch));
  attempt.guard = guard;
  by_guard_.emplace(guard, attempt.order.attempt);
  spools_.insert_or_assign(attempt.order.attempt,
                           Spool{.tail = ProgressTail(directory.progress_file()), .read_at = now_});
  return {};
}

// --- while it runs ---

void Attempts::terminate(const AttemptId& id, const std::string& reason) {
  Attempt* attempt = find(id);
  if (attempt == nullptr) return;
  log_info("worker", "attempt {}: asked to stop: {}", id.text(), reason);
  attempt->stop_reason = reason;
  if (attempt->guard && !attempt->ended) launcher_.ask_to_stop(*attempt->guard);
}

void Attempts::kill(const AttemptId& id, bool report, Instant now) {
  Attempt* attempt = find(id);
  if (attempt == nullptr) return;
  if (!report && attempt->report)
    log_info("worker", "attempt {}: not ours any more, killed", id.text());
  attempt->report = attempt->report && report;
  if (!attempt->stop_reason) attempt->stop_reason = "killed";
  if (attempt->guard && !attempt->ended) launcher_.kill(*attempt->guard, now);
}

void Attempts::read_progress(const AttemptId& id, Attempt& attempt) {
  const auto spool = spools_.find(id);
  if (spool == spools_.end()) return;
  // Half of the time: a look may come a little early, and then the next is far.
  if (!attempt.ended && now_ - spool->second.read_at < kLookEvery / 2) return;
  spool->second.read_at = now_;
  const bool clean = spool->second.tail.garbage() == 0;
  if (auto checkpoint = spool->second.tail.read()) attempt.checkpoint = std::move(checkpoint);
  if (clean && spool->second.tail.garbage() > 0) {
    log_warning("worker", "attempt {}: a line of progress.jsonl cannot be used, and maybe more: {}",
                id.text(), clipped(secrets_.redact(spool->second.tail.first_garbage())));
  }
}

void Attempts::look(Instant now) {
  now_ = now;
  pool_.complete();
  drain_waiting();
  for (const EndedSession& ended : launcher_.collect(now)) {
    const auto id = by_guard_.find(ended.guard);
    if (id == by_guard_.end()) continue;
    if (Attempt* attempt = find(id->second)) attempt->ended = ended.how;
    by_guard_.erase(id);
  }
  std::vector<AttemptId> ids;
  for (auto& [id, attempt] : running_) {
    if (attempt.guard && !attempt.in_pool) ids.push_back(id);
    if (attempt.guard) read_progress(id, attempt);
  }
  for (const AttemptId& id : ids) pump(id);
}

void Attempts::pump(const AttemptId& id) {
  Attempt* attempt = find(id);
  if (attempt == nullptr || attempt->in_pool) return;
  const bool succeeded = attempt->ended && !attempt->ended->guard_lost && attempt->ended->exit.ok();
  if (!attempt->report || succeeded) attempt->checkpoint.reset();  // nobody will resume from it
  if (attempt->checkpoint) return store_checkpoint(id, *attempt);
  if (attempt->ended) finish(id, *attempt);
}

void Attempts::store_checkpoint(const AttemptId& id, Attempt& attempt) {
  const AnnouncedCheckpoint announced = *attempt.checkpoint;
  attempt.checkpoint.reset();
  const auto folder = attempt.directory.below(announced.folder);
  if (!folder || !store_) {
    log_warning("worker", "attempt {}: the checkpoint of step {} is not stored: {}", id.text(),
                announced.step,
                folder ? "the artifact store cannot be reached" : folder.error().message);
    return pump(id);
  }
  submit(id,
         [this, id, step = announced.step, folder = *folder,
          store = *store_]() -> WorkPool::Completion {
           // Its program still runs and may tidy up its folder, so the bytes are copied.
           const auto ref = store.commit(folder, Take::kCopy);
           return [this, id, step, ref] {
             Attempt* owner = find(id);
             STRATA_ASSERT(owner != nullptr);
             owner->in_pool = false;
             if (!ref) {
               log_warning("worker", "attempt {}: the checkpoint of step {} is not stored: {}",
                           id.text(), step, ref.error().message);
             } else if (owner->report) {
               tell(id, CheckpointStored{.attempt = id, .step = step, .artifact = *ref});
             }
             pump(id);
           };
         });
}

// --- the end ---

std::map<std::string, std::string> Attempts::recorded_of(const Attempt& attempt) const {
  const std::chrono::duration<double> seconds = now_ - attempt.began;
  std::string slots;
  for (const std::int64_t slot : attempt.slots)
    slots += (slots.empty() ? "" : ",") + std::to_string(slot);
  std::map<std::string, std::string> out{
      {"worker_build", options_.build},
      {"host", options_.host},
      {"folder", attempt.directory.folder().string()},
      {"ranks", std::to_string(std::max<std::int64_t>(1, attempt.order.spec.resources.ranks))},
      {"slots", slots},
      {"seconds", fmt::format("{:.3f}", seconds.count())}};
  for (const auto& [name, version] : attempt.order.spec.versions)
    out.emplace(std::string(kRecordedVersion) + name, version);
  return out;
}

void Attempts::finish(const AttemptId& id, Attempt& attempt) {
  if (!attempt.report) return end(id, Stopped{.reason = *attempt.stop_reason}, {});
  const bool succeeded = !attempt.ended->guard_lost && attempt.ended->exit.ok();
  return succeeded ? finish_succeeded(id, attempt) : finish_failed(id, attempt);
}

void Attempts::finish_succeeded(const AttemptId& id, const Attempt& attempt) {
  auto recorded = recorded_of(attempt);
  const auto asked = attempt.stop_reason;
  if (attempt.order.spec.outputs.empty()) {  // nothing to hash: the common case of a command
    auto collected =
        collect_results(nullptr, attempt.order, attempt.directory, std::move(recorded));
    return end(id, after_request(std::move(collected), asked), {});
  }
  submit(id,
         [this, id, order = attempt.order, directory = attempt.directory, store = store_, recorded,
          asked]() -> WorkPool::Completion {
           Outcome collected = after_request(
               collect_results(store ? &*store : nullptr, order, directory, recorded), asked);
           return [this, id, collected = std::move(collected)] { end(id, collected, {}); };
         });
}

// In the pool: a log may lie on a file system that is slow, or gone.
void Attempts::finish_failed(const AttemptId& id, const Attempt& attempt) {
  EndedProgram ended{.how = *attempt.ended,
                     .ranks = attempt.order.spec.resources.ranks > 0,
                     .resumable = attempt.order.spec.resumable,
                     .asked_to_stop = attempt.stop_reason};
  if (const auto spool = spools_.find(id); spool != spools_.end())
    ended.step = spool->second.tail.last_step();
  submit(id,
         [this, id, ended, witness = attempt.witness, log = attempt.directory.log_file(),
          rules = attempt.order.spec.log_rules]() mutable -> WorkPool::Completion {
           ended.evidence = witness->testify(log, secrets_);
           auto outcome = outcome_of(ended, policy_of(rules));
           STRATA_ASSERT(outcome.has_value());
           return [this, id, outcome = std::move(*outcome)] { end(id, outcome, {}); };
         });
}

void Attempts::end(const AttemptId& id, Outcome outcome, std::vector<ContentHash> missing) {
  const auto it = running_.find(id);
  STRATA_ASSERT(it != running_.end());
  redact(outcome, secrets_);
  const std::chrono::duration<double> seconds = now_ - it->second.began;
  log_info("worker", "attempt {} ({}): {} after {:.1f} s", id.text(), it->second.order.spec.stage,
           in_words(outcome), seconds.count());
  slots_.give_back(it->second.slots);
  if (auto spool = spools_.find(id); spool != spools_.end()) {
    spool->second.ended = true;
    if (!it->second.report || !spool->second.tail.pending()) spools_.erase(spool);
  }
  ended_folders_.add(it->second.directory.folder());
  code_.release(id);
  running_.erase(it);
  tell(id, ProcessEnded{
               .attempt = id, .outcome = std::move(outcome), .missing_inputs = std::move(missing)});
  forget_oldest_spool();
  for (auto& folder : ended_folders_.take_surplus()) remove_in_pool(std::move(folder));
}

void Attempts::forget_oldest_spool() {
  if (spools_.size() <= kSpooledAttemptsMax + running_.size()) return;
  const auto oldest = std::find_if(spools_.begin(), spools_.end(),
                                   [](const auto& entry) { return entry.second.ended; });
  if (oldest == spools_.end()) return;
  log_warning("worker", "attempt {}: metrics that the coordinator never acknowledged are given up",
              oldest->first.text());
  spools_.erase(oldest);
}

void Attempts::remove_in_pool(std::filesystem::path folder) {
  waiting_jobs_.emplace_back([folder = std::move(folder)]() -> WorkPool::Completion {
    std::error_code error;
    std::filesystem::remove_all(folder, error);
    if (error) log_warning("worker", "removing {}: {}", folder.string(), error.message());
    return [] {};
  });
  drain_waiting();
}

// --- metrics ---

std::vector<MetricBatch> Attempts::due_metrics(WorkerId worker, Instant now) {
  std::vector<MetricBatch> batches;
  for (auto& [id, spool] : spools_) {
    if (!spool.tail.pending() || (spool.sent && now - *spool.sent < kMetricsRepeatEvery)) continue;
    spool.sent = now;
    batches.push_back({.worker = worker, .attempt = id, .points = spool.tail.batch()});
  }
  return batches;
}

void Attempts::acknowledge(const MetricAck& ack) {
  const auto it = spools_.find(ack.attempt);
  if (it == spools_.end()) return;
  // Only what moves the spool makes room for the next batch: were it sent again at each answer, a
  // coordinator that was away would get every batch as often as the first one was repeated.
  if (it->second.tail.acknowledge(ack)) it->second.sent.reset();
  if (it->second.ended && !it->second.tail.pending()) spools_.erase(it);
}

void Attempts::resend_metrics() {
  for (auto& [id, spool] : spools_) spool.sent.reset();
}

bool Attempts::metrics_pending() const {
  return std::any_of(spools_.begin(), spools_.end(),
                     [](const auto& entry) { return entry.second.tail.pending(); });
}

}  // namespace strata::worker

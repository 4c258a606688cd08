#include "coordinator/server.h"

#include <algorithm>
#include <map>

#include "base/fields.h"
#include "base/json.h"
#include "base/log.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

bool is_control_question(const std::string& verb) {
  return verb == "explain" || verb == "watch" || verb == "workers";
}

// The attempt that a report is about.
const AttemptId* reported(const InputBody& body) {
  if (const auto* started = std::get_if<ReportStarted>(&body)) return &started->attempt;
  if (const auto* checkpoint = std::get_if<ReportCheckpoint>(&body)) return &checkpoint->attempt;
  if (const auto* ended = std::get_if<ReportEnded>(&body)) return &ended->attempt;
  return nullptr;
}

}  // namespace

Server::Server(ServerParts parts, ServerOptions options, Core core, LiveView live)
    : parts_(parts),
      options_(std::move(options)),
      core_(std::move(core)),
      live_(std::move(live)),
      peers_(parts.socket, options_.peers_max) {
  started_ms_ = parts_.clock.wall().unix_ms;
  static_cast<void>(core_.take_touched());
  if (!options_.safe_mode.empty()) pause(options_.safe_mode);
}

void Server::stop() {
  stopping_.store(true);
  parts_.wake.signal();
}

void Server::limit_event_pages(std::int64_t pages) { pages_limit_.store(pages); }

Status Server::run() {
  while (!stopping_.load()) STRATA_CHECK_OK(turn());
  if (commit_failed_) {
    log_error("coordinator",
              "ends with {} events that could not be written; nothing of them was told to anyone",
              batch_.sealed->size());
  }
  peers_.flush();
  return {};
}

std::chrono::milliseconds Server::wait_time() const {
  const bool more = !inputs_.empty() || core_.is_busy() || !watching_.empty();
  if (more && !commit_failed_ && options_.safe_mode.empty())
    return parts_.events.tables().has_room() ? std::chrono::milliseconds{0} : kBatchTime;
  Instant due = std::min(tick_due_, export_due_);
  if (commit_failed_) due = std::min(commit_due_, export_due_);
  if (!options_.safe_mode.empty()) due = export_due_;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - parts_.clock.now());
  return std::clamp(left, std::chrono::milliseconds{0}, options_.tick_every);
}

Status Server::turn() {
  std::array items{parts_.socket.wait_item(), parts_.wake.wait_item()};
  STRATA_TRY([[maybe_unused]] const int ready, wait_any(items, wait_time()));
  if (items[1].ready) parts_.wake.clear();
  const Instant began = parts_.clock.now();
  receive(began + kBatchTime);
  take_heartbeats();  // before the clock is looked at: they came while the loop was busy
  if (can_step()) {
    if (began >= tick_due_) {
      queue_input({}, Tick{});
      tick_due_ = began + options_.tick_every;
    }
    if (core_.is_busy()) queue_input({}, GoOn{});
    step_waiting(began + kBatchTime);
  }
  store_points();
  report_rungs();
  if (!commit_failed_ || parts_.clock.now() >= commit_due_) STRATA_CHECK_OK(finish_batch());
  for (const Send& answer : parts_.queries.take()) peers_.send(answer.to, answer.message);
  peers_.flush();
  measure(began);
  return {};
}

// --- in ---

void Server::receive(Instant until) {
  for (std::size_t i = 0; i < kInputsPerBatch && inputs_.size() < kInputsWaitingMax; ++i) {
    auto received = parts_.socket.receive();
    if (!received) {
      log_warning("coordinator", "{}", received.error().message);
      return;
    }
    if (!received->has_value()) return;
    take_frame(**received);
    if (parts_.clock.now() >= until) return;
  }
  // Nothing is stepped and the queue is full: what comes is thrown away, and sent again by whoever
  // needs it.
  while ((commit_failed_ || !parts_.events.tables().has_room()) &&
         inputs_.size() >= kInputsWaitingMax) {
    auto received = parts_.socket.receive();
    if (!received || !received->has_value() || parts_.clock.now() >= until) return;
    ++counts_.frames_received;
    ++counts_.frames_dropped;
  }
}

void Server::take_frame(const Received& received) {
  ++counts_.frames_received;
  if (received.malformed) {
    ++counts_.frames_garbage;
    return;
  }
  auto message = decode_message(received.bytes);
  if (!message) {
    ++counts_.frames_garbage;
    // An answer that a person may see: a client of another version gets words, not silence.
    if (message.error().code == ErrorCode::kUnsupported) {
      peers_.send(peers_.heard(received.peer, parts_.clock.now()),
                  Refused{.reason = message.error().message});
    }
    return;
  }
  take_message(peers_.heard(received.peer, parts_.clock.now()), std::move(*message));
}

void Server::take_message(PeerId peer, Message message) {
  std::visit(
      [&](auto& body) {
        using T = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<T, Request>) {
          take_request(peer, std::move(body));
        } else if constexpr (std::is_same_v<T, MetricBatch>) {
          take_points(peer, std::move(body));
        } else if constexpr (std::is_same_v<T, SubmitTasks>) {
          take_submission(peer, std::move(body));
        } else if constexpr (std::is_constructible_v<InputBody, T> && !std::is_same_v<T, Tick>) {
          queue_input(peer, std::move(body));
        } else {
          ++counts_.frames_garbage;  // what only a coordinator says
        }
      },
      message);
}

void Server::take_heartbeats() {
  if (parts_.heartbeats == nullptr) return;
  // The newest of each waits there until something is stepped.
  if (commit_failed_ || !parts_.events.tables().has_room()) return;
  for (Input& input : parts_.heartbeats->take()) {
    if (options_.safe_mode.empty()) inputs_.push_back(std::move(input));
  }
}

void Server::send(const Send& effect) {
  if (parts_.heartbeats != nullptr && Heartbeats::is_ours(effect.to)) {
    parts_.heartbeats->send(effect.to, effect.message);
  } else {
    peers_.send(effect.to, effect.message);
  }
}

void Server::take_submission(PeerId peer, SubmitTasks submission) {
  if (!paused_.empty()) {
    return refuse(peer, submission.id,
                  {ErrorCode::kUnavailable,
                   "submitting " + submission.sweep + ": dispatch is paused: " + paused_});
  }
  if (!submission.first || submission.if_plan.empty())
    return queue_input(peer, std::move(submission));
  const std::string id = submission.if_plan.substr(0, submission.if_plan.find('/'));
  auto plan = parts_.plans != nullptr ? parts_.plans->find(id) : nullptr;
  queue_input(peer, SubmitPlanned{.submission = std::move(submission), .plan = std::move(plan)});
}

void Server::queue_input(PeerId peer, InputBody body) {
  if (!options_.safe_mode.empty()) return;
  inputs_.push_back({.peer = peer, .body = std::move(body)});
}

void Server::take_points(PeerId peer, MetricBatch batch) {
  if (!options_.safe_mode.empty()) return;  // kept by the worker until acknowledged
  if (!points_count(core_.cluster(), batch.attempt)) {
    // While a commit fails, the core is ahead of the log: nothing is called over on its word alone.
    if (commit_failed_) return;
    ++counts_.stale_reports;
    peers_.send(peer, MetricAck{.attempt = batch.attempt, .up_to = 0, .stale = true});
    return;
  }
  if (!is_well_formed(batch)) {
    ++counts_.frames_garbage;
    return;
  }
  points_.push_back({.peer = peer, .batch = std::move(batch)});
}

void Server::refuse(PeerId peer, std::uint64_t id, const Error& error) {
  peers_.send(peer, Answer{.id = id, .ok = false, .body = error_body(error)});
}

void Server::take_request(PeerId peer, Request request) {
  if (request.protocol != kProtocolVersion) {
    return refuse(
        peer, request.id,
        {ErrorCode::kUnsupported,
         fmt::format("this coordinator speaks protocol {}, the client {}: install the same version",
                     kProtocolVersion, request.protocol)});
  }
  if (Query::knows(request.verb)) {
    const std::uint64_t id = request.id;
    if (parts_.queries.submit(peer, std::move(request), parts_.events.last_seq())) return;
    ++counts_.queries_refused;
    return refuse(peer, id,
                  {ErrorCode::kUnavailable,
                   fmt::format("{} questions wait already: ask again later", kQueriesWaitingMax)});
  }
  if (!paused_.empty()) {
    return refuse(peer, request.id,
                  {ErrorCode::kUnavailable, request.verb + ": dispatch is paused: " + paused_});
  }
  if (is_control_question(request.verb)) {
    batch_.questions.push_back({.peer = peer, .request = std::move(request)});
    return;
  }
  auto input = control_input(request);
  if (!input) return refuse(peer, request.id, input.error());
  if (*input) return queue_input(peer, std::move(**input));
  refuse(peer, request.id,
         {ErrorCode::kUnsupported,
          fmt::format("there is no verb \"{}\"; docs/requests.md lists them", request.verb)});
}

Result<std::optional<InputBody>> Server::control_input(const Request& request) const {
  STRATA_TRY(const Value body, parse_json(request.body.empty() ? "{}" : request.body));
  Fields fields(body, request.verb);
  std::optional<InputBody> input;
  if (request.verb == "cancel") {
    input = CancelSweep{.request = request.id, .sweep = fields.text("sweep")};
  } else if (request.verb == "drain") {
    input = DrainWorker{.request = request.id,
                        .worker = WorkerId(static_cast<std::uint64_t>(fields.integer("worker")))};
  } else if (request.verb == "release") {
    input = ReleaseWorker{.request = request.id, .name = fields.text("worker")};
  } else if (request.verb == "retry") {
    const std::string name = fields.text("sweep", std::string());
    std::set<TaskKey> keys;
    for (const std::string& prefix : fields.texts("tasks", std::vector<std::string>{})) {
      STRATA_TRY(const Named named, resolve(core_.cluster(), prefix));
      if (!named.task)
        return fail(ErrorCode::kInvalid, "retry: {} names a run; name its tasks or its sweep",
                    prefix);
      keys.insert(*named.task);
    }
    const bool named_tasks = !keys.empty();
    const auto sweep = core_.cluster().sweeps().find(name);
    if (!name.empty() && sweep == core_.cluster().sweeps().end())
      return fail(ErrorCode::kNotFound, "retry: there is no sweep \"{}\"", name);
    if (name.empty() && keys.empty())
      return fail(ErrorCode::kInvalid, "retry: name a sweep or tasks");
    input = RetryTasks{.request = request.id,
                       .sweep = name,
                       .tasks = {keys.begin(), keys.end()},
                       .pruned_too = named_tasks};
  } else {
    return std::optional<InputBody>();
  }
  STRATA_CHECK_OK(fields.finish());
  return input;
}

// --- step and commit ---

void Server::count_stale(const InputBody& body) {
  const AttemptId* attempt = reported(body);
  if (attempt != nullptr && !core_.cluster().is_live(*attempt)) ++counts_.stale_reports;
}

// Where the derived tables cannot follow, nothing is stepped until they have come nearer: either in
// a moment, or when they can be written again.
bool Server::can_step() {
  if (!options_.safe_mode.empty() || commit_failed_) return false;
  if (parts_.events.tables().has_room()) return true;
  if (const std::string failing = parts_.events.tables().failing(); !failing.empty())
    pause(failing);
  return false;
}

// Where a worker's orders go is held for as long as the worker is in the books.
void Server::follow_workers(const Output& output, Instant now) {
  const auto let_go = [&](WorkerId worker) {
    const auto it = worker_peers_.find(worker);
    if (it == worker_peers_.end()) return;
    peers_.let_go(it->second);
    worker_peers_.erase(it);
  };
  for (const Event& event : output.events) {
    if (const auto* gone = std::get_if<WorkerGone>(&event.body)) let_go(gone->worker);
  }
  for (const Send& send : output.effects) {
    const auto* welcome = std::get_if<Welcome>(&send.message);
    if (welcome == nullptr) continue;
    live_.note_heard(welcome->worker, now);
    let_go(welcome->worker);
    peers_.hold(send.to);
    worker_peers_[welcome->worker] = send.to;
  }
}

// Anyone may send a heartbeat with any number in it.
void Server::note_heard(const Heartbeat& heartbeat, Instant now) {
  const Worker* worker = core_.cluster().find_worker(heartbeat.worker);
  if (worker != nullptr && worker->session == heartbeat.session)
    live_.note_heard(heartbeat.worker, now);
}

void Server::step_waiting(Instant until) {
  std::size_t stepped = 0;
  while (!inputs_.empty() && stepped < kInputsPerBatch &&
         batch_.events.size() < kEventsPerBatchMax) {
    const Input input = std::move(inputs_.front());
    inputs_.pop_front();
    const Instant now = parts_.clock.now();
    count_stale(input.body);
    Output output = core_.step(input, now, parts_.clock.wall());
    if (const auto* heartbeat = std::get_if<Heartbeat>(&input.body)) note_heard(*heartbeat, now);
    follow_workers(output, now);
    std::move(output.events.begin(), output.events.end(), std::back_inserter(batch_.events));
    std::move(output.effects.begin(), output.effects.end(), std::back_inserter(batch_.effects));
    ++stepped;
    if (now >= until) break;
  }
  batch_.touched.merge(core_.take_touched());
}

Status Server::finish_batch() {
  if (!batch_.events.empty() || batch_.sealed != nullptr) {
    const Instant before = parts_.clock.now();
    if (const std::int64_t pages = pages_limit_.exchange(-1); pages >= 0)
      STRATA_CHECK_OK(parts_.events.limit_pages(pages));
    if (batch_.sealed == nullptr)
      batch_.sealed = std::make_shared<const std::vector<Event>>(std::move(batch_.events));
    const Status committed = parts_.events.commit(batch_.sealed, batch_.touched, core_.cluster());
    if (!committed) {
      // Only what time may heal is tried again. Another try would end like this one, and a restart
      // finds out what the store still says.
      if (committed.error().code != ErrorCode::kUnavailable) return committed;
      ++counts_.commit_failures;
      commit_failed_ = true;
      commit_due_ = parts_.clock.now() + options_.commit_retry;
      pause(committed.error().message);
      return {};
    }
    counts_.add_commit(seconds(parts_.clock.now() - before));
  }
  commit_failed_ = false;
  if (!paused_.empty() && options_.safe_mode.empty() && parts_.events.tables().has_room()) resume();
  perform(std::exchange(batch_, {}));
  go_on_watching();
  return {};
}

void Server::perform(Batch batch) {
  for (const Event& event : batch.sealed != nullptr ? *batch.sealed : batch.events) {
    live_.note(event);
    counts_.add_committed(event);
  }
  for (const Send& effect : batch.effects) send(effect);
  answer_questions(batch.questions);
}

void Server::answer_questions(const std::vector<Question>& questions) {
  for (const auto& [peer, request] : questions) {
    // Answered when its report is whole; the others are answered here.
    if (request.verb == "watch") {
      if (const Status begun = begin_watching(peer, request); !begun)
        refuse(peer, request.id, begun.error());
      continue;
    }
    const Result<Value> answer = answer_to(request);
    if (answer) {
      peers_.send(peer, Answer{.id = request.id, .ok = true, .body = to_canonical_json(*answer)});
    } else {
      refuse(peer, request.id, answer.error());
    }
  }
}

Result<Value> Server::answer_to(const Request& question) {
  STRATA_TRY(const Value body, parse_json(question.body.empty() ? "{}" : question.body));
  Fields fields(body, question.verb);
  const Instant now = parts_.clock.now();
  if (question.verb == "explain") {
    const std::string prefix = fields.text("prefix");
    STRATA_CHECK_OK(fields.finish());
    return live_.explain(core_, prefix, now);
  }
  STRATA_CHECK_OK(fields.finish());
  return live_.workers(core_, now);
}

// Who asks for a report that is under way gets that one.
Status Server::begin_watching(PeerId peer, const Request& question) {
  STRATA_TRY(const Value body, parse_json(question.body.empty() ? "{}" : question.body));
  Fields fields(body, question.verb);
  const std::string sweep = fields.text("sweep");
  STRATA_CHECK_OK(fields.finish());
  const std::uint64_t request = question.id;
  if (!core_.cluster().sweeps().contains(sweep))
    return fail(ErrorCode::kNotFound, "there is no sweep \"{}\"", sweep);
  for (Watching& one : watching_) {
    if (one.report.sweep() != sweep) continue;
    if (one.askers.size() >= kWatchersMax)
      return fail(ErrorCode::kUnavailable, "{} ask for it already: ask again later", kWatchersMax);
    one.askers.emplace_back(peer, request);
    return {};
  }
  if (watching_.size() >= kWatchesMax)
    return fail(ErrorCode::kUnavailable, "{} reports wait already: ask again later", kWatchesMax);
  watching_.push_back({.report = WatchReport(sweep), .askers = {{peer, request}}});
  return {};
}

void Server::go_on_watching() {
  if (watching_.empty()) return;
  Watching& first = watching_.front();
  if (!first.report.go_on(core_, live_, parts_.clock.now(), kWatchLooksPerTurn)) return;
  const std::string body = to_canonical_json(first.report.value(core_, parts_.clock.wall()));
  for (const auto& [peer, request] : first.askers)
    peers_.send(peer, Answer{.id = request, .ok = true, .body = body});
  watching_.pop_front();
}

void Server::store_points() {
  if (points_.empty()) return;
  std::vector<Points> arrived = std::exchange(points_, {});
  std::vector<MetricBatch> batches;
  batches.reserve(arrived.size());
  for (Points& one : arrived) batches.push_back(std::move(one.batch));
  const WallTime wall = parts_.clock.wall();
  const auto stored = parts_.metrics.store(batches, wall);
  if (!stored) {  // not acknowledged, so the workers send them again
    if (counts_.metric_failures++ == metric_failures_told_)
      log_warning("coordinator", "{}; workers keep the points", stored.error().message);
    return;
  }
  if (counts_.metric_failures != metric_failures_told_) {
    metric_failures_told_ = counts_.metric_failures;
    log_info("coordinator", "metric points can be written again");
  }
  std::map<std::pair<PeerId, AttemptId>, std::uint64_t> answers;  // one for all of a turn
  for (std::size_t i = 0; i < arrived.size(); ++i) {
    const MetricBatch& batch = batches[i];
    const StoredBatch& now = (*stored)[i];
    if (now.newest) {
      live_.note_point(batch.attempt, *now.newest, wall);
      live_.rungs().note_points(batch.attempt, now.newest->step, core_);
    }
    // One that waits for those before it is acknowledged with them. An answer that tells nothing
    // new would make its sender repeat it at once.
    const bool waits = !batch.points.empty() && batch.points.front().sequence > now.up_to;
    if (!waits) answers[{arrived[i].peer, batch.attempt}] = now.up_to;
  }
  for (const auto& [to, up_to] : answers)
    peers_.send(to.first, MetricAck{.attempt = to.second, .up_to = up_to});
}

// What the stored points say about the rungs of searches; it is stepped with the next turn.
void Server::report_rungs() {
  const Instant now = parts_.clock.now();
  if (commit_failed_ || !options_.safe_mode.empty() || !live_.rungs().anything_due(now)) return;
  if (inputs_.size() >= kInputsWaitingMax) return;
  for (RungReport& report : live_.rungs().look(core_, parts_.metrics, now))
    queue_input({}, std::move(report));
}

// --- pauses and figures ---

void Server::pause(const std::string& why) {
  counts_.dispatch_paused = true;
  if (why == paused_) return;
  paused_ = why;
  parts_.queries.set_dispatch("paused: " + why);
  log_error("coordinator", "dispatch is paused: {}", why);
}

void Server::resume() {
  counts_.dispatch_paused = false;
  paused_.clear();
  parts_.queries.set_dispatch("running");
  log_info("coordinator", "the store can be written again: dispatch goes on");
}

void Server::measure(Instant began) {
  const Instant now = parts_.clock.now();
  gap_ = std::max(gap_, now - began);
  if (now < export_due_) return;
  export_due_ = now + options_.export_every;
  counts_.loop_gap_seconds = seconds(gap_);
  counts_.loop_gap_max_seconds = std::max(counts_.loop_gap_max_seconds, counts_.loop_gap_seconds);
  gap_ = Duration{0};
  counts_.events = parts_.events.last_seq();
  counts_.metric_points = parts_.metrics.points_stored();
  const std::uint64_t thrown_away = counts_.frames_dropped;
  counts_.peers = peers_.count();
  if (parts_.exporter == nullptr) return;
  Snapshot snapshot = take_snapshot(core_.cluster(), counts_);
  snapshot.counts.frames_dropped = thrown_away + peers_.dropped();
  snapshot.build = options_.build;
  if (parts_.mirror != nullptr) snapshot.mirror = parts_.mirror->status();
  snapshot.started_seconds = static_cast<double>(started_ms_) / 1'000.0;
  parts_.exporter->update(std::move(snapshot));
}

}  // namespace strata::coordinator

#include "tests/support/core_server.h"

#include <unistd.h>

#include <array>
#include <thread>

#include "base/assert.h"
#include "base/files.h"
#include "link/address_file.h"
#include "schema/codec.h"
#include "tests/support/artifact_folder.h"

namespace strata::testing {
namespace {

constexpr std::chrono::milliseconds kTick{50};

}  // namespace

CoreServer::CoreServer(std::filesystem::path folder) : folder_(std::move(folder)) {
  options_ = {.coordinator_id = "test-core",
              .artifact_folder = artifacts().string(),
              .heartbeat_every = std::chrono::milliseconds(250),
              .slow_after = std::chrono::milliseconds(2'000),
              .repeat_every = std::chrono::milliseconds(500),
              .backoff_first = std::chrono::milliseconds(100),
              .backoff_max = std::chrono::milliseconds(400)};
  mark_artifact_folder(artifacts(), options_.coordinator_id);
  core_ = std::make_unique<coordinator::Core>(options_, coordinator::Cluster(), clock_.now());
  listen();
}

void CoreServer::listen() {
  auto socket = RouterSocket::bind("tcp://127.0.0.1:*", {});
  STRATA_ASSERT(socket.has_value());
  socket_ = std::make_unique<RouterSocket>(std::move(*socket));
  const auto written = link::write_address_file(
      address_file(),
      {.address = socket_->address(), .pid = ::getpid(), .coordinator = options_.coordinator_id});
  STRATA_ASSERT(written.has_value());
}

void CoreServer::crash_and_recover(std::chrono::milliseconds away) {
  socket_.reset();
  core_.reset();
  peer_ids_.clear();
  peers_.clear();
  std::this_thread::sleep_for(away);
  coordinator::Cluster recovered;
  for (const Event& event : log_) recovered.apply(event);
  core_ = std::make_unique<coordinator::Core>(options_, std::move(recovered), clock_.now());
  listen();
}

bool CoreServer::serve_until(const std::function<bool()>& holds, std::chrono::seconds patience) {
  const Instant until = clock_.now() + patience;
  while (clock_.now() < until) {
    if (holds()) return true;
    std::array<WaitItem, 1> items{socket_->wait_item()};
    (void)wait_any(items, kTick);
    for (;;) {
      auto received = socket_->receive();
      if (!received || !*received) break;
      handle(**received);
    }
    step({.body = coordinator::Tick{}});
  }
  return holds();
}

void CoreServer::serve_for(std::chrono::milliseconds time) {
  const Instant until = clock_.now() + time;
  (void)serve_until([&] { return clock_.now() >= until; });
}

void CoreServer::handle(const Received& received) {
  const auto message = decode_message(received.bytes);
  STRATA_ASSERT(message.has_value());
  auto [known, fresh] = peer_ids_.emplace(received.peer, coordinator::PeerId(peer_ids_.size() + 1));
  if (fresh) peers_.emplace(known->second, received.peer);
  const coordinator::PeerId peer = known->second;
  if (const auto* batch = std::get_if<MetricBatch>(&*message))
    return on_metrics(received.peer, *batch);
  if (std::holds_alternative<ReportCheckpoint>(*message)) ++checkpoint_reports_;
  std::visit(
      [&](const auto& body) {
        if constexpr (std::is_constructible_v<coordinator::InputBody, decltype(body)>)
          step({.peer = peer, .body = body});
      },
      *message);
}

// As the coordinator's shell does: points of the newest attempt only, each once.
void CoreServer::on_metrics(const std::string& peer, const MetricBatch& batch) {
  const coordinator::Task* task = core_->cluster().find_task(batch.attempt.task);
  const bool lost = task == nullptr || task->attempts != batch.attempt.number ||
                    (!core_->cluster().is_live(batch.attempt) &&
                     !std::holds_alternative<coordinator::TaskSucceeded>(task->state));
  if (lost) {
    ++stale_batches_;
    return send(peer, MetricAck{.attempt = batch.attempt, .stale = true});
  }
  auto& points = metrics_[batch.attempt];
  for (const MetricPoint& point : batch.points) {
    if (point.sequence == points.size() + 1) points.push_back(point);
  }
  send(peer, MetricAck{.attempt = batch.attempt, .up_to = points.size()});
}

void CoreServer::step(coordinator::Input input) {
  const coordinator::Output out = core_->step(input, clock_.now(), clock_.wall());
  log_.insert(log_.end(), out.events.begin(), out.events.end());
  for (const coordinator::Send& effect : out.effects) {
    if (const auto peer = peers_.find(effect.to); peer != peers_.end())
      send(peer->second, effect.message);
  }
}

void CoreServer::send(const std::string& peer, const Message& message) {
  const auto frame = encode(message);
  STRATA_ASSERT(frame.has_value());
  (void)socket_->send(peer, *frame);  // whoever is gone asks again
}

void CoreServer::submit(const std::string& sweep, const std::vector<TaskSpec>& tasks) {
  step({.body = SubmitTasks{.id = ++requests_,
                            .sweep = sweep,
                            .definition = sweep,
                            .first = true,
                            .last = true,
                            .tasks = tasks}});
}

void CoreServer::cancel(const std::string& sweep) {
  step({.body = coordinator::CancelSweep{.request = ++requests_, .sweep = sweep}});
}

const coordinator::Task& CoreServer::task(const TaskKey& key) const {
  const coordinator::Task* found = core_->cluster().find_task(key);
  STRATA_ASSERT(found != nullptr);
  return *found;
}

std::string CoreServer::state(const TaskKey& key) const {
  return coordinator::name_of(task(key).state);
}

}  // namespace strata::testing

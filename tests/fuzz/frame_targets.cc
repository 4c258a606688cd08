// Messages and events, and what the core makes of them.
#include "base/assert.h"
#include "base/json.h"
#include "coordinator/core/core.h"
#include "schema/codec.h"
#include "tests/fuzz/frame.h"
#include "tests/fuzz/targets.h"
#include "tests/unit/coordinator/small_world.h"

namespace strata::fuzz {
namespace {

using coordinator::Cluster;
using coordinator::Core;
using coordinator::InputBody;
using coordinator::SmallWorld;

// A cluster in which something runs, something waits and something has ended.
struct Lived {
  std::vector<Event> events{};
  Cluster cluster{};
  SmallWorld world{};

  Lived() {
    world.join(2);
    world.submit();
    world.start(world.extract);
    world.succeed(world.extract, "features");
    world.start(world.train_one);
    world.checkpoint(world.train_one, 10);
    events = world.uncommitted;
    for (const Event& event : events) cluster.apply(event);
    static_cast<void>(cluster.take_touched());
  }
};

const Lived& lived() {
  static const Lived one;
  return one;
}

// What a step may not do whatever it was given: make an event that cannot be stored or replayed.
std::string step(InputBody body, coordinator::PeerId peer) {
  const Lived& before = lived();
  Core core({.coordinator_id = "fuzz", .artifact_folder = "/a"}, before.cluster, before.world.now);
  Cluster replayed = before.cluster;
  std::size_t events = 0;
  std::size_t effects = 0;
  for (int i = 0; i < 2; ++i) {  // then time passes
    InputBody next = i == 0 ? std::move(body) : InputBody(coordinator::Tick{});
    const auto output = core.step({.peer = peer, .body = std::move(next)},
                                  before.world.now + std::chrono::seconds(i), {.unix_ms = 5'000});
    for (const Event& event : output.events) {
      const auto frame = encode(event);
      STRATA_ASSERT(frame.has_value());
      const auto back = decode_event(*frame);
      STRATA_ASSERT(back.has_value());
      const Status applied = replayed.apply_checked(*back);
      STRATA_ASSERT(applied.has_value());
    }
    for (const auto& send : output.effects) STRATA_ASSERT(encode(send.message).has_value());
    events += output.events.size();
    effects += output.effects.size();
  }
  static_cast<void>(core.owed());
  STRATA_ASSERT(coordinator::summary(replayed) == coordinator::summary(core.cluster()));
  return fmt::format("{} {}", events > 0 ? "events" : "none", effects > 0 ? "effects" : "silence");
}

std::string take(Message message) {
  const std::string name = name_of(message);
  return std::visit(
      [&](auto& body) -> std::string {
        using T = std::decay_t<decltype(body)>;
        if constexpr (std::is_same_v<T, Request>) {
          return name + (parse_json(body.body) ? " json" : " no json");
        } else if constexpr (std::is_constructible_v<InputBody, T>) {
          const coordinator::PeerId peer(std::is_same_v<T, SubmitTasks> ? 2 : 1);
          return name + " " + step(std::move(body), peer);
        } else {
          return name;
        }
      },
      message);
}

}  // namespace

std::string run_wire(std::string_view input) {
  static const std::string header = encode(Message(WhoAreYou{})).value();
  auto message = decode_message(frame_of(input, header));
  if (!message) return message.error().message;
  const auto again = encode(*message);
  STRATA_ASSERT(again.has_value());
  const auto back = decode_message(*again);
  STRATA_ASSERT(back.has_value());
  // NaN differs from itself; its bytes do not.
  STRATA_ASSERT(encode(*back).value() == *again);
  return take(std::move(*message));
}

std::string run_event(std::string_view input) {
  static const std::string header = encode(lived().events.front()).value();
  const auto event = decode_event(frame_of(input, header));
  if (!event) return event.error().message;
  const auto again = encode(*event);
  STRATA_ASSERT(again.has_value());
  const auto back = decode_event(*again);
  STRATA_ASSERT(back.has_value());
  STRATA_ASSERT(encode(*back).value() == *again);
  Cluster cluster = lived().cluster;
  const Status applied = cluster.apply_checked(*event);
  static_cast<void>(coordinator::summary(cluster));
  return std::string(name_of(event->body)) + ": " + (applied ? "applied" : applied.error().message);
}

}  // namespace strata::fuzz

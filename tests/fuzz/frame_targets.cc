// Messages and events, and what the core makes of them.
#include <optional>

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

// A core that is given one message after another. What a step may not do whatever it was given:
// make an event that cannot be stored or replayed, or an answer that cannot be sent.
class World {
 public:
  std::string take(Message message) {
    const std::string name = name_of(message);
    return std::visit(
        [&](auto& body) -> std::string {
          using T = std::decay_t<decltype(body)>;
          if constexpr (std::is_same_v<T, Request>) {
            return name + (parse_json(body.body) ? " json" : " no json");
          } else if constexpr (std::is_constructible_v<InputBody, T>) {
            const coordinator::PeerId peer(std::is_same_v<T, SubmitTasks> ? 2 : 1);
            const std::string said = step(std::move(body), peer, std::chrono::milliseconds(10));
            step(coordinator::Tick{}, {}, std::chrono::seconds(1));
            return name + " " + said;
          } else {
            return name;
          }
        },
        message);
  }
  void end() {
    step(coordinator::Tick{}, {}, std::chrono::minutes(5));
    static_cast<void>(core_.owed());
    STRATA_ASSERT(coordinator::summary(replayed_) == coordinator::summary(core_.cluster()));
  }

 private:
  std::string step(InputBody body, coordinator::PeerId peer, std::chrono::milliseconds later) {
    now_ = now_ + later;
    wall_.unix_ms += later.count();
    const auto output = core_.step({.peer = peer, .body = std::move(body)}, now_, wall_);
    for (const Event& event : output.events) {
      const auto frame = encode(event);
      STRATA_ASSERT(frame.has_value());
      const auto back = decode_event(*frame);
      STRATA_ASSERT(back.has_value());
      const Status applied = replayed_.apply_checked(*back);
      STRATA_ASSERT(applied.has_value());
    }
    for (const auto& send : output.effects) STRATA_ASSERT(encode(send.message).has_value());
    return fmt::format("{} {}", output.events.empty() ? "none" : "events",
                       output.effects.empty() ? "silence" : "effects");
  }

  Instant now_ = lived().world.now;
  WallTime wall_ = lived().world.wall;
  Core core_{{.coordinator_id = "fuzz", .artifact_folder = "/a"}, lived().cluster, now_};
  Cluster replayed_ = lived().cluster;
};

std::string take_frame(std::string_view input, std::optional<World>& world) {
  static const std::string header = encode(Message(WhoAreYou{})).value();
  auto message = decode_message(frame_of(input, header));
  if (!message) return message.error().message;
  const auto again = encode(*message);
  STRATA_ASSERT(again.has_value());
  const auto back = decode_message(*again);
  STRATA_ASSERT(back.has_value());
  // NaN differs from itself; its bytes do not.
  STRATA_ASSERT(encode(*back).value() == *again);
  if (!world) world.emplace();
  return world->take(std::move(*message));
}

}  // namespace

// Several of them, each after the other.
std::string run_wire(std::string_view input) {
  constexpr std::string_view kBetween = "~~next~~";
  std::optional<World> world;
  std::string said;
  while (true) {
    const std::size_t end = input.find(kBetween);
    said += take_frame(input.substr(0, end), world) + ";";
    if (end == std::string_view::npos) break;
    input.remove_prefix(end + kBetween.size());
  }
  if (world) world->end();
  return said;
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

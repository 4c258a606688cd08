// What a plan said, remembered so that `submit --if-plan` can be refused when it would say
// something else now. Soft state of the server: bounded, gone with a restart.
//
// The world of a plan: the sweep's generation and whether it has arrived whole, which runs are its
// current ones (so which become orphans), and for each task of the plan, in its order, what class
// it is of: new, kept, retried, outdated or under way, and by which attempt if it has a result.
// That a task goes from queued to running is no move of the world.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/sha256.h"
#include "schema/ids.h"

namespace strata::coordinator {

struct Plan {
  std::string id{};
  std::string sweep{};
  std::string scope{};  // digest of what is to be submitted, made by the client (cli/definition.h)
  std::vector<TaskKey> tasks{};
  std::string world{};
};

// `state` as name_of(TaskState) says it; empty: there is no such task. `wanted`: by the sweep that
// is planned.
[[nodiscard]] char plan_class(std::string_view state, bool outdated, bool wanted);

// Both the tables and the core are put through this, in the same order.
class WorldDigest {
 public:
  explicit WorldDigest(std::string_view sweep) { add(sweep); }
  void add_sweep(std::int64_t generation, bool sealed) {
    add(fmt::format("{}{}", generation, sealed ? "whole" : "part"));
  }
  void add_run(std::string_view key) { add(key); }  // current ones, ascending
  void add_task(char cls, std::int64_t attempt) {
    const bool result = cls == 'k' || cls == 'o';
    add(fmt::format("{}{}", cls, result ? attempt : 0));
  }
  [[nodiscard]] std::string finish() { return hash_.hex_digest(); }

 private:
  void add(std::string_view text) {
    hash_.update(text);
    hash_.update("\n");
  }
  Sha256 hash_;
};

}  // namespace strata::coordinator

// What a submission would do, and what it would cost. Pure: the expansion of the file and the
// coordinator's answer to `plan` go in; without an answer everything is new.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/value.h"
#include "cli/plan_room.h"
#include "cli/render/colour.h"
#include "schema/sweep.h"

namespace strata::cli {

// Sustained, per slot that is asked for with the label "gpu", where nothing of the program's kind
// has run yet: a data-centre GPU at a sixth of its dense bf16 peak. Of other slots nothing is
// assumed.
inline constexpr double kAssumedGflops = 50'000;

struct PlanCounts {
  std::int64_t fresh = 0;      // never seen
  std::int64_t kept = 0;       // its result exists (a diverged loss is a result)
  std::int64_t retried = 0;    // failed or cancelled before: revived
  std::int64_t under_way = 0;  // another submission wants it already
  std::int64_t outdated = 0;   // its result was made from something that has changed
  [[nodiscard]] std::int64_t total() const { return fresh + kept + retried + under_way + outdated; }
};

// kShape: tasks of the program with the same resources; kProgram: with others.
enum class EstimateSource { kNone, kShape, kProgram, kAssumption };

// The code of a stage as it lies here.
struct StageCodeFacts {
  std::string stage{};
  std::size_t files = 0;
  std::int64_t bytes = 0;
  std::string version{};
  std::string git{};
  bool frozen = false;
};

// How many cells there are with each value of a parameter that varies, after constraints.
struct AxisCounts {
  std::string parameter{};
  std::vector<std::pair<Value, std::size_t>> cells{};  // in order of appearance
};

struct Orphan {  // a run that the file no longer has
  std::string run{};
  std::string cell{};
  std::uint64_t seed = 0;
  std::string fate{};  // "goes on", "withdrawn", "kept"
};

struct StageNote {  // of tasks of a stage, for one reason
  std::string stage{};
  std::string reason{};
  std::int64_t tasks = 0;
};

struct StagePlan {
  std::string stage{};
  PlanCounts counts{};
  double slot_seconds = 0;   // of what is to do
  std::int64_t unknown = 0;  // to do, but neither history nor FLOPs tell how long
  EstimateSource source = EstimateSource::kNone;
};

struct PlanReport {
  std::string sweep{};
  std::string plan_id{};  // empty without a coordinator
  bool connected = false;
  std::size_t cells = 0;
  std::size_t seeds = 0;
  std::optional<SearchDefinition> search{};  // then the estimate is an upper bound
  std::vector<DroppedBy> dropped{};
  std::vector<std::pair<std::string, std::size_t>> axis_sizes{};
  std::vector<AxisCounts> axes{};
  std::size_t merged = 0;  // cells that were the same as an earlier one
  PlanCounts runs{};
  std::int64_t orphaned = 0;      // runs of the newest generation that the file no longer has
  std::vector<Orphan> orphans{};  // of them, as many as the coordinator names
  std::vector<StageNote> outdated{};
  std::vector<StageCodeFacts> code{};
  PlanCounts tasks{};
  std::vector<StagePlan> stages{};  // in pipeline order
  double slot_seconds = 0;
  bool on_gpus = true;  // every task in slot_seconds asks for a worker labelled "gpu"
  std::int64_t unknown = 0;
  std::int64_t flops_of_no_rate = 0;  // of these, tasks with FLOPs for slots of unknown speed
  double gflops = kAssumedGflops;
  std::int64_t slots = 0;
  std::int64_t slots_free = 0;
  bool slots_withheld = false;  // there are some, but all drain or are in quarantine
  std::int64_t others = 0;      // tasks of other sweeps that run or are queued: not in `seconds`
  std::vector<StageNote> impossible{};  // that no worker could hold
  std::vector<std::string> absent{};    // "t (when a = 5)": stages of no cell
  std::optional<double>
      seconds{};  // until the end, when slots are known and every task has an estimate
};

struct PlanOptions {
  std::optional<double> gflops{};  // of any slot; absent: kAssumedGflops of those labelled "gpu"
  std::int64_t slots = 0;          // 0: the coordinator's
  bool unfrozen = false;           // as `submit --unfrozen` would
};

// `answer`: of the verb `plan`; null without a coordinator.
[[nodiscard]] PlanReport make_plan(const SweepDefinition& definition, const Expansion& expansion,
                                   const Value& answer, const PlanOptions& options,
                                   std::vector<StageCodeFacts> code = {},
                                   const PlanRoom& room = {});
[[nodiscard]] std::string plan_as_text(const PlanReport& plan, const Palette& palette,
                                       std::int64_t now_ms);
[[nodiscard]] Value plan_as_json(const PlanReport& plan);

}  // namespace strata::cli

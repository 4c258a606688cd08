// A sweep definition and what it expands to. Pure: the text of the files comes in, tasks and runs come out.
//
//   read_sweep(text, ...)  ->  SweepDefinition  ->  expand(definition)  ->  Expansion  ->  submitted to the coordinator
//
// The language is described in docs/sweeps.md; every error names file, line and column and what was expected.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schema/expression.h"
#include "schema/task.h"

namespace strata {

inline constexpr std::size_t kSweepFileBytesMax = 4U << 20U;
inline constexpr std::size_t kRunsMax = 200'000;    // of one sweep, before constraints

struct StageInput {
  std::string stage{};
  std::string output{};
  std::optional<Expression> when{};  // absent: always
};

struct StageDefinition {
  std::string name{};
  Program program{};
  std::vector<std::string> reads{};             // dotted parameter names or prefixes ("model" takes all below it)
  std::map<std::string, StageInput> inputs{};
  std::vector<std::string> outputs{};
  bool seeded = false;
  bool resumable = false;
  std::optional<Expression> when{};             // the stage exists only in cells for which this holds
  Resources resources{};
  RetryPolicy retry{};
  std::int64_t lease_ms = 600'000;
  std::vector<std::string> secrets{};
  std::optional<Expression> flops{};            // arithmetic over parameters, for the estimate of `plan`
};

struct Axis {
  std::string parameter{};
  std::vector<Value> values{};
};

struct Case {
  std::map<std::string, Value> set{};
};

struct Constraint {
  std::string text{};
  Expression holds{};
};

// How `strata table` shows the sweep; the sweep's author decides, the command line may override.
struct TableDefinition {
  std::vector<std::string> rows{};      // parameters that name a row; default: the axes
  std::vector<std::string> scores{};    // columns, in order
  std::vector<std::string> references{};  // score sets shown below the cells ("recordings", ...)
  // "not intelligible: do not rank": when the rule holds for a cell's scores, nothing in those columns is ranked.
  std::optional<Expression> do_not_rank_when{};
};

struct SweepDefinition {
  std::string name{};
  std::string description{};
  Value base{};                          // parameters of every cell
  std::map<std::string, Value> neutral{};  // parameters left out of keys when they have this value
  std::vector<Axis> axes{};              // grid product
  std::vector<std::vector<Axis>> zips{}; // each group varies together
  std::vector<Case> cases{};             // explicit cells, beside the product
  std::vector<Constraint> constraints{};
  std::vector<std::uint64_t> seeds{};
  std::map<std::string, Value> baseline{};  // the assignment of the cell that others are compared with
  std::vector<StageDefinition> stages{};    // in topological order after reading
  std::map<std::string, Value> expected{};  // published numbers by cell label, never printed as measured here
  TableDefinition table{};
  std::int64_t priority = 0;             // higher goes first
};

struct DroppedBy {
  std::string constraint{};
  std::size_t cells = 0;
};

struct Expansion {
  std::string sweep{};
  std::vector<TaskSpec> tasks{};   // unique by key, producers before consumers
  std::vector<RunSpec> runs{};     // in sweep order: cells as written, seeds inside
  std::size_t cells = 0;
  std::vector<DroppedBy> dropped{};
  std::vector<std::pair<std::string, std::size_t>> axis_sizes{};
};

// Gives the text of a file that a sweep includes ("pipelines/tts_alignment.yaml"), relative to the including file.
using FileReader = std::function<Result<std::string>(const std::string& path)>;

[[nodiscard]] Result<SweepDefinition> read_sweep(const std::string& path, const FileReader& read);
[[nodiscard]] Result<Expansion> expand(const SweepDefinition& definition);

}  // namespace strata

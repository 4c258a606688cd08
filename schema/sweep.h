// A sweep definition and what it expands to. Pure: the text of the files comes in, tasks and runs
// come out.
//
//   read_sweep(path, read)  ->  SweepDefinition  ->  expand(definition)  ->  Expansion  ->
//   submitted to the coordinator
//
// The language is described in docs/sweeps.md; every error of read_sweep names file, line and
// column and what was expected. Errors of expand name the cell: they are about combinations, which
// stand in no one place.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schema/event.h"
#include "schema/expression.h"
#include "schema/task.h"

namespace strata {

inline constexpr std::size_t kRunsMax = 200'000;  // of one sweep, before constraints
inline constexpr std::size_t kStagesMax = 64;
inline constexpr std::size_t kSweepNameBytesMax = 64;

struct StageInput {
  std::string stage{};
  std::string output{};
  std::optional<Expression> when{};  // absent: always
};

// What of a stage's resources is different.
struct ResourceChange {
  std::optional<std::int64_t> slots{};
  std::optional<std::int64_t> ranks{};
  std::optional<std::int64_t> threads{};
  std::optional<std::vector<std::string>> labels{};  // sorted
  std::optional<std::int64_t> memory_mb{};
  std::optional<std::int64_t> expected_ms{};
};
[[nodiscard]] Resources lay_over(Resources resources, const ResourceChange& change);

// Whether the version of something that no parameter holds is only written down, or decides the
// result's name as well.
enum class VersionUse : std::uint8_t { kRecord, kKey };

struct StageDefinition {
  std::string name{};
  Program program{};  // its argv has {folder} filled in
  // For code that is frozen: the folder that {folder} means, and the command as it was written.
  // Both empty where the command does not use it.
  std::string folder{};
  std::vector<std::string> command{};
  std::string command_at{};  // "FILE:LINE:COLUMN", for errors
  // Files, folders and patterns that are the stage's code, joined with the folder of the file that
  // names them; empty: what its command names.
  std::vector<std::string> code{};
  std::vector<std::string>
      reads{};  // dotted parameter names or prefixes ("model" takes all below it)
  std::map<std::string, StageInput> inputs{};
  std::vector<std::string> outputs{};  // sorted
  bool seeded = false;
  bool resumable = false;
  std::optional<Expression> when{};  // the stage exists only in cells for which this holds
  Resources resources{};
  RetryPolicy retry{};
  std::int64_t lease_ms = 600'000;
  std::vector<std::string> secrets{};
  std::optional<Expression> flops{};  // arithmetic over parameters, for the estimate of `plan`
  bool scoring = false;               // has a share of the slots of its own
  std::int64_t grace_ms = 20'000;     // from the request to stop until it is killed
  std::vector<LogRule> log_rules{};   // before the shipped ones
  // When it runs out of memory: the first one, then the next, each laid over its resources.
  std::vector<ResourceChange> fallbacks{};
};

// What an axis of drawn cells may have instead of values. 0 < low for kLogUniform; low and high are
// whole numbers for kInteger, which may be drawn, too.
struct AxisRange {
  enum class Kind : std::uint8_t { kUniform, kLogUniform, kInteger };
  Kind kind = Kind::kUniform;
  Number low{};
  Number high{};
};

// So many different cells of the block's product, drawn instead of all of them.
struct RandomCells {
  std::size_t cells = 0;
  std::uint64_t seed = 0;
};

// `when` is tested on the parameters as `base`, the block's `set` and the axes before this one
// leave them; where it is false the axis sets nothing. Axes of a zip group have none.
struct Axis {
  std::string parameter{};
  std::vector<Value> values{};
  std::optional<Expression> when{};
  std::optional<AxisRange> range{};  // in place of values; in blocks with `random` only
};

// Dotted parameter names with their values, as written; later ones are laid over earlier ones.
using Settings = std::vector<std::pair<std::string, Value>>;

// A cell written out, beside the product of the axes.
struct Case {
  Settings set{};
  std::string label{};                 // not empty: a row of its own, whatever its parameters
  std::vector<std::uint64_t> seeds{};  // empty: the sweep's
  std::map<std::string, Resources>
      resources{};  // by stage, in place of the stage's own; in no key, like all resources
};

struct Constraint {
  std::string text{};  // as written
  Expression holds{};
};

// A set of cells: the product of its axes and zip groups, then its cases, among which are those
// that an ablation stands for (schema/ablation.h). A sweep has the block at the top of its file and
// those under `blocks`; a cell that several make is one cell with the seeds of all.
struct Block {
  std::string name{};  // empty: the top of the file
  Settings set{};      // in every cell of the block
  std::vector<Axis> axes{};
  std::vector<std::vector<Axis>> zips{};  // each group varies together
  std::vector<Case> cases{};
  std::vector<Constraint> constraints{};  // beside the sweep's
  std::vector<std::uint64_t> seeds{};     // empty: the sweep's
  std::optional<RandomCells> random{};    // absent: the whole product
};

// What counts in the names of results beside what stages read, and what of that does not.
struct Identity {
  // Parameters, with all below them, that programs see and keys do not.
  std::vector<std::string> exclude{};
  VersionUse code = VersionUse::kRecord;
  std::map<std::string, VersionUse> data{};  // parameters that are paths of files or folders
};

// How `strata table` shows the sweep; the sweep's author decides, the command line may override.
struct TableDefinition {
  std::vector<std::string> rows{};    // parameters that name a row; default: all that vary
  std::vector<std::string> scores{};  // columns, in order
  std::vector<std::string>
      references{};  // score sets shown below the cells ("recordings", "copies", ...)
  // "not intelligible: do not rank": when the rule holds for a cell's scores, nothing in those
  // columns is ranked.
  std::optional<Expression> do_not_rank_when{};
};

struct SweepDefinition {
  std::string name{};
  std::string description{};
  Value base{};                            // parameters of every cell
  std::map<std::string, Value> neutral{};  // parameters left out of keys when they have this value
  Identity identity{};
  std::vector<Block> blocks{};            // at least one
  std::vector<Constraint> constraints{};  // of the cells of all blocks
  std::vector<std::uint64_t> seeds{};
  std::map<std::string, Value>
      baseline{};  // the assignment of the cell that others are compared with; may be empty
  bool baseline_implied = false;  // the file has no such key: an ablation says which cell it is
  std::vector<StageDefinition> stages{};  // producers before consumers, otherwise as written
  std::map<std::string, Value>
      expected{};                 // published numbers by cell label, never printed as measured here
  std::string expected_source{};  // where they were published
  TableDefinition table{};
  std::int64_t priority = 0;  // higher goes first
  SweepOptions scheduling{};  // its user is filled in by who submits
  // Families of models that serve as teacher and as judge here; allowed by name, and every table
  // must say so.
  std::vector<std::string> judge_as_teacher{};
};

// What an expansion needs to know that stands in no sweep file; whoever may read files finds it
// out.
struct StageCode {
  std::vector<std::string> argv{};        // the command, with kCodeToken where the code lies
  std::optional<ArtifactRef> artifact{};  // absent: not frozen, and `argv` is not used
  std::map<std::string, std::string> versions{};  // "code" and what else is to be recorded
};
struct Surroundings {
  std::map<std::string, StageCode> code{};    // by stage
  std::map<std::string, std::string> data{};  // path -> version of its content
};

// All paths that the parameter may be in some cell, sorted. Values that are no text are left out.
[[nodiscard]] std::vector<std::string> values_of(const SweepDefinition& definition,
                                                 const std::string& parameter);

struct DroppedBy {
  std::string constraint{};
  std::size_t cells = 0;
};

struct Expansion {
  std::string sweep{};
  std::vector<TaskSpec> tasks{};  // unique by key, producers before consumers
  std::vector<RunSpec> runs{};    // in sweep order: cells as written, seeds inside
  std::size_t cells = 0;          // that are left, each with at least one run
  std::size_t merged = 0;         // cells that were the same as an earlier one
  // One entry for each constraint; a cell counts for the first that drops it.
  std::vector<DroppedBy> dropped{};
  // Of an axis that is a range: 0.
  std::vector<std::pair<std::string, std::size_t>> axis_sizes{};
  std::vector<std::string> swept{};  // parameters that blocks, axes, zips and cases set, as written
  std::vector<std::string> judge_as_teacher{};
};

// Gives the text of a file. Paths are the sweep's own, and for a file that it names the folder of
// the naming file joined with that name ("sweeps/pipelines/tts_alignment.yaml").
using FileReader = std::function<Result<std::string>(const std::string& path)>;

// How a value is set everywhere in this language: a map is laid over what is there, key by key; all
// else replaces it.
[[nodiscard]] Status lay_over_value(Value& base, const std::string& path, const Value& value);

[[nodiscard]] Result<SweepDefinition> read_sweep(const std::string& path, const FileReader& read);
[[nodiscard]] Result<Expansion> expand(const SweepDefinition& definition,
                                       const Surroundings& surroundings = {});

}  // namespace strata

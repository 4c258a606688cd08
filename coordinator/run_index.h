// All runs of the store in memory, for searches: what a filter, an order or a group may name of
// them. It follows the tables: what never changes of a task (its parameters) is read once, states
// are read again when the tables have moved, scores of tasks that have succeeded since. Parameters
// are kept as numbers into pools of names and of values, because thousands of runs share them.
//
// Its methods throw SQLite::Exception; refresh() belongs into a transaction. Thread rule: one
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "coordinator/sqlite.h"

namespace strata::coordinator {

class RunIndex {
 public:
  struct Leaf {  // one parameter, by its dotted name
    std::uint32_t name = 0;
    std::uint32_t value = 0;
  };
  struct ScoreEntry {
    std::uint32_t name = 0;
    Value value{};
  };
  using Leaves = std::vector<Leaf>;  // ascending name
  struct Task {
    bool known = false;                // its parameters are read: a run has it
    std::uint8_t state = 0;            // rank_of_state()
    std::int64_t scored_attempt = 0;   // whose scores these are
    std::uint32_t parameters = 0;      // which of sets_
    std::vector<ScoreEntry> scores{};  // by name
  };
  struct StageTask {
    std::string stage{};
    std::size_t task = 0;  // its row
  };
  struct Run {
    std::int64_t row = 0;
    std::string key{};
    std::uint32_t sweep = 0;
    std::string cell{};
    std::string seed{};
    bool baseline = false;
    std::int64_t generation = 0;
    std::uint32_t assignment = 0;     // which of sets_
    std::vector<StageTask> stages{};  // ascending stage
  };
  struct Sweep {
    std::string name{};
    std::int64_t generation = 0;
    std::int64_t sealed_generation = 0;
    std::int64_t submitted_ms = 0;
    bool sealed = false;
    std::vector<Run> runs{};  // ascending row
  };

  // Up to what the tables hold now. False: there are more than `runs_max` runs, and it holds none.
  [[nodiscard]] bool refresh(Statements& run, std::size_t runs_max);

  // In the order in which `runs` answers: by the time of submission.
  [[nodiscard]] const std::vector<const Sweep*>& sweeps() const { return ordered_; }
  [[nodiscard]] std::size_t size() const { return size_; }

  // A name that a filter may use, looked up once for all runs.
  struct Name {
    std::string text{};
    enum class Own : std::uint8_t {
      kNone,
      kState,
      kSeed,
      kCell,
      kRun,
      kSweep,
      kBaseline,
      kOrphan
    } own = Own::kNone;
    std::optional<std::uint32_t> id{};  // no run has it: nothing
    // A name that some task has as a map: its parts are there, but it is none itself.
    bool is_map = false;
  };
  [[nodiscard]] Name name(std::string_view text) const;
  // What the run has of this name: itself, its cell's assignment, its parameters, its scores, in
  // this order. Null where it has nothing. `made` is written where the value has to be made; the
  // answer lives as long as both.
  [[nodiscard]] const Value* look(const Run& run, const Sweep& sweep, const Name& name,
                                  Value& made) const;
  [[nodiscard]] std::string_view state_of(const Run& run) const;
  // Every score of the run, by name; where two stages have one of the same name, the second is told
  // with its stage.
  [[nodiscard]] std::vector<std::pair<std::string, const Value*>> scores_of(const Run& run) const;
  // The assignment of its cell.
  [[nodiscard]] Object assignment_of(const Run& run) const;

 private:
  struct Stamp {
    std::int64_t seq = -1;
    std::int64_t chain = 0;
    bool operator==(const Stamp&) const = default;
  };
  std::uint32_t intern_name(std::string_view text);
  std::uint32_t intern_value(Value value);
  // The leaves of a JSON text; the same text is read once. `nested`: by dotted names.
  std::uint32_t intern_leaves(const std::string& json, bool nested);
  void flatten(const Value& value, const std::string& at, Leaves& leaves);
  void read_sweeps(Statements& run);
  void read_runs(Statements& run, Sweep& sweep);
  void read_tasks(Statements& run);
  void read_parameters(Statements& run, std::size_t row);
  void read_scores(Statements& run, std::size_t row);
  [[nodiscard]] const Value* parameter(const Run& run, const Name& name, Value& made) const;
  [[nodiscard]] const Value* score(const Run& run, std::string_view name) const;
  void clear();

  Stamp stamp_{};
  std::map<std::string, Sweep, std::less<>> sweeps_;
  std::vector<const Sweep*> ordered_;
  std::vector<Task> tasks_;  // by row
  std::size_t size_ = 0;
  std::vector<std::string> names_;
  std::map<std::string, std::uint32_t, std::less<>> name_ids_;
  std::vector<bool> maps_;  // of names: some task has a map there
  std::vector<Value> values_;
  std::map<std::string, std::uint32_t, std::less<>> value_ids_;
  std::vector<Leaves> sets_;  // of parameters and of assignments: few of them, for many tasks
  std::map<std::string, std::uint32_t> set_ids_;  // by the digest of their text
};

// A run is in the worst state that any of its stages is in: failed, diverged, cancelled, pruned,
// running (also where a stage is leased), queued, held, blocked, succeeded, in this order.
[[nodiscard]] std::uint8_t rank_of_state(std::string_view state);
[[nodiscard]] std::string_view state_of_rank(std::uint8_t rank);

}  // namespace strata::coordinator

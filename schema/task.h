// What is to be done: a task is one stage with fixed inputs. Its key is the hash of everything that
// decides its result, so asking twice creates nothing, and runs that need the same task share it.
//
// In the key: key_version, the stage's program name and hand-bumped result_version, the parameters
// that the stage reads (without those that have their neutral value), the seed if it has one, and
// for each input the key of the task that makes it and the name of the output taken; versions of
// code and data only where the sweep asks for it. Not in the key: the build, host, device, rank
// count, resources, limits on retries, secrets.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "schema/artifact.h"
#include "schema/failure.h"
#include "schema/ids.h"

namespace strata {

inline constexpr int kKeyVersion = 1;

// In the command of a task with frozen code: the folder in which its worker has laid the code out.
inline constexpr std::string_view kCodeToken = "{code}";
// Names in TaskSpec::versions.
inline constexpr const char* kCodeVersion = "code";        // "sha256:..." of the code's manifest
inline constexpr const char* kGitVersion = "git";          // "3f2a... + 2 changed files"
inline constexpr const char* kProgramVersion = "program";  // "strata 0.3.0", of our own programs
inline constexpr const char* kUnfrozen = "unfrozen";       // the folder from which the code is run
inline constexpr std::string_view kDataVersion = "data.";  // + the parameter that is the path
// + such a name, in Succeeded::recorded: what a result was really made from.
inline constexpr std::string_view kRecordedVersion = "version.";

struct Program {
  std::string name{};  // part of the key, for example "strata-trainer train"
  std::vector<std::string>
      argv{};  // how to start it; the spec file's path is added as last argument
  std::int64_t result_version = 1;  // bumped by hand when the program's results change
  bool operator==(const Program&) const = default;
};

// What one attempt needs, all of it together or nothing.
struct Resources {
  std::int64_t slots = 1;             // schedulable devices: GPUs, or shares of cores
  std::int64_t ranks = 0;             // MPI processes; 0: the program is started directly
  std::int64_t threads = 1;           // compute threads of each process
  std::vector<std::string> labels{};  // every one must be carried by the worker
  std::int64_t memory_mb = 0;         // MiB of the machine's memory, of all processes; 0: not said
  // How long it takes, as its author believes; 0: not said. A worker that ends before is not given
  // it, and a gap before a reserved place is filled only with what says that it fits.
  std::int64_t expected_ms = 0;
  auto operator<=>(const Resources&) const = default;
};

struct RetryPolicy {
  std::int64_t user_failures_max = 3;  // failures of the program itself, before the task fails
  // Lost workers and the like are not charged to the user, but they are bounded.
  std::int64_t infra_failures_max = 20;
  bool operator==(const RetryPolicy&) const = default;
};

struct TaskInput {
  std::string name{};  // as the program sees it
  TaskKey producer{};
  std::string output{};  // which of the producer's outputs
  bool operator==(const TaskInput&) const = default;
};

struct TaskSpec {
  TaskKey key{};
  std::string stage{};
  Program program{};
  Value parameters{};
  // Dotted names of parameters that the program sees and the key does not: those that have their
  // neutral value, so that a parameter that is added later changes no old key, and those that the
  // sweep's identity excludes. Sorted.
  std::vector<std::string> neutral{};
  std::optional<std::uint64_t> seed{};
  std::vector<TaskInput> inputs{};     // sorted by name
  std::vector<std::string> outputs{};  // sorted
  Resources resources{};
  RetryPolicy retry{};
  std::int64_t lease_ms = 600'000;  // how long a silent gang is believed in
  bool resumable = false;
  std::vector<std::string> secrets{};  // names only; the worker knows the values
  double flops = 0;                    // an estimate for `plan`; 0: unknown
  bool scoring = false;  // has a share of the slots of its own, so that checkpoints never pile up
  std::int64_t grace_ms = 20'000;      // from the request to stop until it is killed
  std::vector<Resources> fallbacks{};  // tried one after the other when it runs out of memory
  std::vector<LogRule> log_rules{};    // before the shipped ones
  std::optional<ArtifactRef> code{};   // the files of its command, as they were when submitted
  // What else it is made from, by the names above. Recorded; those that `versions_in_key` names
  // decide the result's name, too.
  std::map<std::string, std::string> versions{};
  std::vector<std::string> versions_in_key{};  // sorted
  bool operator==(const TaskSpec&) const = default;
};

// The canonical text whose hash is the key; kept readable because old goldens are compared with it.
[[nodiscard]] std::string key_material(const TaskSpec& spec);
// The key that the other fields of `spec` give.
[[nodiscard]] TaskKey compute_key(const TaskSpec& spec);

// The part of the canonical text that many tasks share: the parameters without the neutral ones. An
// expansion makes it once for tasks that differ in seed or inputs only.
[[nodiscard]] std::string canonical_key_parameters(const TaskSpec& spec);
// REQUIRES: key_parameters == canonical_key_parameters(spec).
[[nodiscard]] TaskKey compute_key(const TaskSpec& spec, std::string_view key_parameters);

// A cell with one seed: which task stands for which stage.
struct RunSpec {
  RunKey key{};
  std::string cell{};  // the row's label, "text=3 speech=4"; equal for all seeds of a cell
  Value assignment{};  // what the axes and cases set, by dotted parameter name
  std::uint64_t seed = 0;
  bool baseline = false;
  std::map<std::string, TaskKey> tasks{};  // by stage
  bool operator==(const RunSpec&) const = default;
};

[[nodiscard]] RunKey compute_key(const RunSpec& spec);

}  // namespace strata

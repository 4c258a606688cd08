// Two sweeps of short commands that share their first tasks, for tests that disturb them: shell
// scripts, programs that resume from checkpoints, and gangs under mpirun.
//
//   prepare (shell) -> extract (counting) -> train (counting, resumable; some of two ranks)
//                                              -> synthesize (shell) -> score (shell)
#pragma once

#include <string>
#include <vector>

#include "tests/support/counting_task.h"
#include "tests/support/sample_sweep.h"

namespace strata::testing {

struct KillSweep {
  std::string name{};
  std::vector<TaskSpec> tasks{};  // producers before consumers
  std::vector<RunSpec> runs{};
};

// What a killer may do to one task is not the user's fault, but a program that is killed by hand is
// charged to its task like one that fails.
inline constexpr std::int64_t kKillsOfATaskMax = 40;

inline TaskSpec hardened(TaskSpec spec, const std::string& stage) {
  spec.stage = stage;
  spec.lease_ms = 30'000;
  spec.retry = {.user_failures_max = kKillsOfATaskMax, .infra_failures_max = kKillsOfATaskMax};
  spec.key = compute_key(spec);
  return spec;
}

inline TaskSpec shell_task(const std::string& stage, const std::string& salt,
                           const std::vector<TaskSpec>& producers) {
  TaskSpec spec;
  spec.program = {.name = "shell-stage",
                  .argv = {"sh", std::string(STRATA_SOURCE_DIR) + "/tests/support/shell_stage.sh"}};
  spec.parameters = Object{{"salt", stage + " " + salt}};
  for (const TaskSpec& producer : producers) {
    spec.inputs.push_back({.name = "from_" + producer.stage,
                           .producer = producer.key,
                           .output = producer.outputs.front()});
  }
  spec.outputs = {"result"};
  return hardened(std::move(spec), stage);
}

inline TaskSpec training_task(std::int64_t cell, const TaskSpec& extract) {
  constexpr int kSteps = 22;
  TaskSpec train = after(counting(kSteps, 0, "train " + std::to_string(cell)), extract);
  if (cell % 3 == 1) train.resources = {.slots = 2, .ranks = 2};
  return hardened(std::move(train), "train");
}

inline KillSweep kill_sweep(const std::string& name, std::int64_t first_cell,
                            std::int64_t last_cell) {
  KillSweep sweep{.name = name};
  for (std::int64_t corpus = 0; corpus < 2; ++corpus) {
    const std::string salt = "corpus " + std::to_string(corpus);
    const TaskSpec prepare = shell_task("prepare", salt, {});
    const TaskSpec extract = hardened(after(counting(6, 0, salt), prepare), "extract");
    sweep.tasks.push_back(prepare);
    sweep.tasks.push_back(extract);
    for (std::int64_t cell = first_cell; cell <= last_cell; ++cell) {
      if (cell % 2 != corpus) continue;
      const TaskSpec train = training_task(cell, extract);
      const TaskSpec synthesize = shell_task("synthesize", "", {train});
      const TaskSpec score = shell_task("score", "", {extract, synthesize});
      sweep.tasks.insert(sweep.tasks.end(), {train, synthesize, score});
      sweep.runs.push_back(make_run("cell " + std::to_string(cell), 1,
                                    {prepare, extract, train, synthesize, score}));
    }
  }
  return sweep;
}

inline std::vector<KillSweep> kill_sweeps() {
  return {kill_sweep("first", 0, 4), kill_sweep("second", 2, 7)};
}

}  // namespace strata::testing

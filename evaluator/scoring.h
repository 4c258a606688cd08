// One scoring task: hears every recording of a list once with all judges, keeps a line for each as
// soon as it has it, and ends with the report. Killed at any place and started again it gives the
// same bytes.
#pragma once

#include <filesystem>
#include <functional>

#include "evaluator/judge.h"
#include "evaluator/score_spec.h"

namespace strata::evaluator {

// Part of each line's key: raise it when the same recording and judges would give other numbers.
inline constexpr int kScoringVersion = 1;
// A checkpoint is announced after so many recordings: a lost worker costs at most the time of
// these.
inline constexpr std::size_t kCheckpointEvery = 32;

struct ScoringContext {
  std::filesystem::path attempt{};         // folder for progress.jsonl, scores.json, checkpoints/
  std::function<bool()> stop_requested{};  // asked after each recording
  std::function<double()> seconds{};  // a clock that never jumps, for the progress figures only
  Object environment{};               // goes into the report
  bool checkpoints = true;  // false: the report folder stays, its lines are what a later run needs
};

enum class ScoringEnd { kDone, kStopped };  // stopped: on request, after a checkpoint

[[nodiscard]] Result<ScoringEnd> run_scoring(const ScoreSpec& spec, const Judges& judges,
                                             const ScoringContext& context);

}  // namespace strata::evaluator

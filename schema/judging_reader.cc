#include "schema/judging_reader.h"

#include <algorithm>

namespace strata {
namespace {

// As the coordinator bounds them (coordinator/core/admission.h).
constexpr std::size_t kRungsMax = 64;
constexpr std::int64_t kReductionMax = 1'000;
constexpr std::int64_t kOthersMax = 1'000'000;
constexpr std::size_t kMetricBytesMax = 256;
constexpr std::int64_t kStepMax = 1'000'000'000'000;

Result<const YamlNode*> needed(const Reading& reading, const YamlNode& node, std::string_view key) {
  const YamlNode* found = node.find(key);
  if (found == nullptr)
    return reading.wrong(node.at, fmt::format("a search by asha or median needs the key {}", key));
  return found;
}

// What is paused goes on from its checkpoint, so there must be one.
Status read_stage(const Reading& reading, const YamlNode& node,
                  const std::vector<StageDefinition>& stages, SearchDefinition& out) {
  STRATA_TRY(out.stage, reading.text(node, "stage"));
  std::vector<std::string> names;
  for (const StageDefinition& stage : stages) names.push_back(stage.name);
  const auto found = std::ranges::find(stages, out.stage, &StageDefinition::name);
  if (found == stages.end()) {
    return reading.wrong(
        node.at, fmt::format("there is no stage {}{}", out.stage, suggestion(out.stage, names)));
  }
  if (found->resumable) return {};
  return reading.wrong(node.at,
                       fmt::format("the stage {} is not resumable: a search pauses tasks and "
                                   "continues them from their checkpoints",
                                   out.stage));
}

Status read_rungs(const Reading& reading, const YamlNode& node, SearchDefinition& out) {
  STRATA_CHECK_OK(reading.must_be(node, YamlKind::kList, "rungs"));
  if (node.items.empty() || node.items.size() > kRungsMax)
    return reading.wrong(node.at, fmt::format("rungs must be 1 to {} steps", kRungsMax));
  for (const YamlNode& item : node.items) {
    STRATA_TRY(const std::int64_t step, reading.integer(item, "a rung", 1, kStepMax));
    if (!out.rungs.empty() && step <= out.rungs.back()) {
      return reading.wrong(
          item.at, fmt::format("rungs must ascend: {} comes after {}", step, out.rungs.back()));
    }
    out.rungs.push_back(step);
  }
  return {};
}

Status read_goal(const Reading& reading, const YamlNode& node, SearchDefinition& out) {
  STRATA_TRY(const std::string goal, reading.text(node, "goal"));
  if (goal != "minimize" && goal != "maximize") {
    return reading.wrong(node.at,
                         fmt::format("\"{}\" is no goal: expected minimize or maximize", goal));
  }
  out.minimize = goal == "minimize";
  return {};
}

}  // namespace

bool is_judging_method(std::string_view method) { return method == "asha" || method == "median"; }

Result<std::optional<SearchDefinition>> read_judging_search(
    const Reading& reading, const YamlNode& node, const std::vector<StageDefinition>& stages) {
  STRATA_TRY(const YamlNode* const method, needed(reading, node, "method"));
  STRATA_TRY(const std::string word, reading.text(*method, "method"));
  if (!is_judging_method(word)) return std::optional<SearchDefinition>();
  STRATA_CHECK_OK(reading.only_keys(node, {"method", "cells", "seed", "stage", "metric", "goal",
                                           "rungs", "reduction", "others_min"}));
  SearchDefinition out{.method = word == "asha" ? SearchMethod::kAsha : SearchMethod::kMedian};
  STRATA_TRY(const YamlNode* const stage, needed(reading, node, "stage"));
  STRATA_CHECK_OK(read_stage(reading, *stage, stages, out));
  STRATA_TRY(const YamlNode* const metric, needed(reading, node, "metric"));
  STRATA_TRY(out.metric, reading.text(*metric, "metric"));
  if (out.metric.empty() || out.metric.size() > kMetricBytesMax)
    return reading.wrong(metric->at,
                         fmt::format("a metric has a name of 1 to {} bytes", kMetricBytesMax));
  STRATA_TRY(const YamlNode* const rungs, needed(reading, node, "rungs"));
  STRATA_CHECK_OK(read_rungs(reading, *rungs, out));
  if (const YamlNode* goal = node.find("goal")) STRATA_CHECK_OK(read_goal(reading, *goal, out));
  const YamlNode* reduction = node.find("reduction");
  const YamlNode* others = node.find("others_min");
  if (reduction != nullptr && out.method != SearchMethod::kAsha)
    return reading.wrong(reduction->at, "reduction is of the method asha");
  if (others != nullptr && out.method != SearchMethod::kMedian)
    return reading.wrong(others->at, "others_min is of the method median");
  if (reduction != nullptr) {
    STRATA_TRY(out.reduction, reading.integer(*reduction, "reduction", 2, kReductionMax));
  }
  if (others != nullptr) {
    STRATA_TRY(out.others_min, reading.integer(*others, "others_min", 1, kOthersMax));
  }
  return std::optional<SearchDefinition>(std::move(out));
}

}  // namespace strata

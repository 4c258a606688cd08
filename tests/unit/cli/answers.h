// Small answers of a coordinator, as docs/requests.md has them, for tests of what the command makes
// of them.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/value.h"

namespace strata::cli {

struct ScoreGiven {
  std::string name{};
  std::vector<double> items{};  // of "utt-1", "utt-2", ...
  std::string judge{};
  std::string unit = "fraction";
  std::string better = "lower";
};

inline Value score_answer(const ScoreGiven& given) {
  Object items;
  double sum = 0;
  for (std::size_t i = 0; i < given.items.size(); ++i) {
    items["utt-" + std::to_string(i + 1)] = given.items[i];
    sum += given.items[i];
  }
  return Object{{"value", sum / static_cast<double>(given.items.size())},
                {"unit", given.unit},
                {"better", given.better},
                {"judge", given.judge},
                {"count", static_cast<std::int64_t>(given.items.size())},
                {"items", std::move(items)},
                {"stage", "score"},
                {"task", "task-of-" + given.name}};
}

struct RunGiven {
  int text = 0;
  std::uint64_t seed = 1;
  std::vector<ScoreGiven> scores{};
  std::string state = "succeeded";
  bool outdated = false;
  bool orphan = false;
};

// A cell of an axis "align.text.layer"; layer 0 is the baseline.
inline Value run_answer(const RunGiven& given) {
  Object scores;
  for (const ScoreGiven& score : given.scores) scores[score.name] = score_answer(score);
  const std::string digits = std::to_string(given.text) + std::to_string(given.seed);
  return Object{{"run", "f00d" + digits + std::string(58, '0')},
                {"sweep", "small"},
                {"cell", "text=" + std::to_string(given.text)},
                {"seed", given.seed},
                {"baseline", given.text == 0},
                {"orphan", given.orphan},
                {"assignment", Object{{"align.text.layer", given.text}}},
                {"parameters", Object{{"model", Object{{"depth", 6}}}}},
                {"state", given.state},
                {"stages", Object{{"train", Object{{"task", "beef" + digits},
                                                   {"state", given.state},
                                                   {"outdated", given.outdated}}}}},
                {"scores", std::move(scores)}};
}

inline Value small_definition() {
  return Object{
      {"name", "small"},
      {"axes", Array{Object{{"parameter", "align.text.layer"}, {"values", Array{0, 2, 8}}}}},
      {"seeds", Array{1, 2}},
      {"table", Object{{"scores", Array{"wer"}}, {"references", Array{"recordings"}}}}};
}

}  // namespace strata::cli

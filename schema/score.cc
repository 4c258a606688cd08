#include "schema/score.h"

#include <algorithm>
#include <cmath>

#include "base/fields.h"
#include "base/json.h"

namespace strata {
namespace {

Result<std::map<std::string, double>> read_numbers(const Value* map, const std::string& where,
                                                   std::size_t limit) {
  std::map<std::string, double> numbers;
  if (map == nullptr) return numbers;
  if (map->if_object() == nullptr)
    return fail(ErrorCode::kInvalid, "{}: expected a map, found a {}", where, map->kind());
  if (map->if_object()->size() > limit)
    return fail(ErrorCode::kTooLarge, "{}: more than {} entries", where, limit);
  for (const auto& [name, value] : *map->if_object()) {
    const auto number = value.to_double();
    if (!number)
      return fail(ErrorCode::kInvalid, "{}.{}: expected a number, found a {}", where, name,
                  value.kind());
    numbers.emplace(name, *number);
  }
  return numbers;
}

Result<Score> read_score(const Value& value, std::size_t index) {
  Fields fields(value, fmt::format("scores.json: scores[{}]", index));
  Score score{.name = fields.text("name"),
              .value = fields.number("value"),
              .unit = fields.text("unit", "")};
  if (fields.child("low") != nullptr) score.low = fields.number("low");
  if (fields.child("high") != nullptr) score.high = fields.number("high");
  score.count = fields.integer("count", 0);
  score.better = fields.choice("better", {"lower", "higher", "none"}, "none");
  score.judge = fields.text("judge", "");
  STRATA_TRY(score.items,
             read_numbers(fields.child("items"), fields.where() + ".items", kScoreItemsMax));
  STRATA_CHECK_OK(fields.finish());
  if (const Status sound = check_items(score); !sound)
    return tl::unexpected(sound.error().while_doing("scores.json"));
  return score;
}

// Relative, between a score's value and the mean of its items.
constexpr double kMeanTolerance = 1e-6;

}  // namespace

Status check_items(const Score& score) {
  if (score.items.empty()) return {};
  double sum = 0;
  for (const auto& [item, number] : score.items) {
    if (!std::isfinite(number))
      return fail(ErrorCode::kInvalid, "score '{}' of item '{}' is {}, not a finite number",
                  score.name, item, number);
    sum += number;
  }
  const double mean = sum / static_cast<double>(score.items.size());
  if (std::abs(mean - score.value) <= kMeanTolerance * std::max(1.0, std::abs(score.value)))
    return {};
  return fail(
      ErrorCode::kInvalid,
      "score '{}' says {} but its {} items have the mean {}: intervals made from them would "
      "be of something else",
      score.name, score.value, score.items.size(), mean);
}

Result<std::vector<Score>> parse_scores(std::string_view text) {
  if (text.size() > kScoresBytesMax) {
    return fail(ErrorCode::kTooLarge,
                "scores.json: {} bytes; at most {} travel: leave out items, or make them an output",
                text.size(), kScoresBytesMax);
  }
  const auto value = parse_program_json(text);
  if (!value) return tl::unexpected(value.error().while_doing("scores.json"));
  Fields fields(*value, "scores.json");
  const Value& list = fields.required_child("scores");
  STRATA_CHECK_OK(fields.finish());
  const Array* array = list.if_array();
  if (array == nullptr)
    return fail(ErrorCode::kInvalid, "scores.json.scores: expected a list, found a {}",
                list.kind());
  if (array->size() > kScoresMax)
    return fail(ErrorCode::kTooLarge, "scores.json: more than {} scores", kScoresMax);
  std::vector<Score> scores;
  for (std::size_t i = 0; i < array->size(); ++i) {
    STRATA_TRY(Score score, read_score((*array)[i], i));
    for (const Score& earlier : scores) {
      if (earlier.name == score.name)
        return fail(ErrorCode::kInvalid, "scores.json: the score \"{}\" occurs twice", score.name);
    }
    scores.push_back(std::move(score));
  }
  return scores;
}

Result<Progress> parse_progress(std::string_view line) {
  STRATA_TRY(const Value value, parse_program_json(line));
  Fields fields(value, "progress line");
  Progress progress{.step = fields.integer("step")};
  if (fields.child("total") != nullptr) progress.total = fields.integer("total");
  progress.checkpoint = fields.text("checkpoint", "");
  STRATA_TRY(progress.metrics,
             read_numbers(fields.child("metrics"), "progress line.metrics", kMetricsPerPointMax));
  STRATA_CHECK_OK(fields.finish());
  return progress;
}

}  // namespace strata

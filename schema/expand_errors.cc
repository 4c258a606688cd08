#include "schema/expand_errors.h"

#include <algorithm>

#include "schema/labels.h"

namespace strata {
namespace {

constexpr std::size_t kValuesNamedMax = 12;  // of a parameter
constexpr std::size_t kValueBytesMax = 80;   // of one of them

std::string brief(const Value& value) {
  if (value.is_null()) return "absent";
  const std::string text = shown(value);
  return text.size() <= kValueBytesMax ? text : "a long " + std::string(value.kind());
}

std::string baseline_text(const SweepDefinition& sweep) {
  std::string text;
  for (const auto& [name, value] : sweep.baseline)
    text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, brief(value));
  return text;
}

}  // namespace

tl::unexpected<Error> every_cell_is_dropped(const SweepDefinition& sweep,
                                            const std::vector<DroppedBy>& by) {
  std::string text;
  for (const DroppedBy& one : by) {
    if (one.cells > 0)
      text += fmt::format("{}{} by {}", text.empty() ? "" : ", ", one.cells, one.constraint);
  }
  return fail(ErrorCode::kInvalid, "sweep {}: the constraints drop every cell: {}", sweep.name,
              text);
}

tl::unexpected<Error> nothing_to_do(const SweepDefinition& sweep, const std::string& cell) {
  std::string stages;
  for (const StageDefinition& stage : sweep.stages) {
    if (!stage.when) continue;
    stages += fmt::format("{}stage {} only exists when {}", stages.empty() ? "" : ", ", stage.name,
                          stage.when->text());
  }
  return fail(ErrorCode::kInvalid,
              "sweep {}: in cell \"{}\" there is nothing to do: {}. Drop the cell with a "
              "constraint, or change the condition",
              sweep.name, cell, stages);
}

tl::unexpected<Error> no_cell_is_the_baseline(
    const SweepDefinition& sweep, const std::map<std::string, std::vector<Value>>& there) {
  for (const auto& [name, wanted] : sweep.baseline) {
    const auto values = there.find(name);
    if (values == there.end() || std::ranges::find(values->second, wanted) != values->second.end())
      continue;
    std::vector<std::string> texts;
    for (const Value& value : values->second) texts.push_back(brief(value));
    const bool many = texts.size() > kValuesNamedMax;
    if (many) texts.resize(kValuesNamedMax);
    return fail(ErrorCode::kInvalid,
                "sweep {}: no cell is the baseline, {}: {} is {}{} in the cells that there are",
                sweep.name, baseline_text(sweep), name, fmt::join(texts, ", "), many ? ", …" : "");
  }
  return fail(ErrorCode::kInvalid,
              "sweep {}: no cell is the baseline, {}: each of these values is there, but not all "
              "in one cell",
              sweep.name, baseline_text(sweep));
}

tl::unexpected<Error> two_cells_are_the_baseline(const SweepDefinition& sweep,
                                                 const std::string& one, const std::string& other) {
  return fail(ErrorCode::kInvalid,
              "sweep {}: the baseline must be one cell, but \"{}\" and \"{}\" are both {}: name "
              "more parameters in the key baseline{}",
              sweep.name, one, other, baseline_text(sweep),
              sweep.baseline_implied
                  ? " (the file has none: an ablation's word baseline implies this one)"
                  : "");
}

}  // namespace strata

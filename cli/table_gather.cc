#include "cli/table_gather.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json.h"
#include "cli/view.h"
#include "evaluator/core/convergence.h"
#include "schema/score.h"

namespace strata::cli {

namespace {

std::vector<std::string> row_names_of(const Value& definition, const Array& runs) {
  std::vector<std::string> names;
  for (const Value& name : array_at(at(definition, "table"), "rows")) {
    if (name.if_string() != nullptr) names.push_back(*name.if_string());
  }
  if (!names.empty()) return names;
  for (const Value& axis : array_at(definition, "axes"))
    names.push_back(text_at(axis, "parameter"));
  if (!names.empty()) return names;
  std::set<std::string> found;  // no definition: whatever the cells set
  for (const Value& run : runs) {
    for (const auto& [name, value] : object_at(run, "assignment")) found.insert(name);
  }
  return {found.begin(), found.end()};
}

Value key_of(const Value& run, const std::string& name) {
  const Value& assigned = at(at(run, "assignment"), name);
  if (!assigned.is_null()) return assigned;
  const Value* found = at(run, "parameters").find(name);
  return found == nullptr ? Value() : *found;
}

bool any_outdated(const Value& run) {
  for (const auto& [stage, value] : object_at(run, "stages")) {
    if (flag_at(value, "outdated")) return true;
  }
  return false;
}

// Where a value stands on its axis: the order of the file is the order of the table.
std::size_t position(const Value& definition, const std::string& parameter, const Value& value) {
  for (const Value& axis : array_at(definition, "axes")) {
    if (text_at(axis, "parameter") != parameter) continue;
    const Array& values = array_at(axis, "values");
    return static_cast<std::size_t>(std::find(values.begin(), values.end(), value) -
                                    values.begin());
  }
  return 0;
}

void sort_cells(Gathered& gathered, const Value& definition) {
  std::vector<std::pair<std::vector<std::size_t>, std::size_t>> order;
  for (std::size_t i = 0; i < gathered.cells.size(); ++i) {
    std::vector<std::size_t> where;
    for (std::size_t k = 0; k < gathered.row_names.size(); ++k) {
      where.push_back(position(definition, gathered.row_names[k], gathered.cells[i].keys[k]));
    }
    order.emplace_back(std::move(where), i);
  }
  std::sort(order.begin(),
            order.end());  // ties keep the order of the answer: the index is the second key
  std::vector<CellView> sorted;
  for (const auto& [where, index] : order) sorted.push_back(std::move(gathered.cells[index]));
  gathered.cells = std::move(sorted);
}

Status add_run(Gathered& gathered, const Value& value) {
  RunView run{.run = text_at(value, "run"),
              .cell = text_at(value, "cell"),
              .seed = static_cast<std::uint64_t>(integer_at(value, "seed")),
              .baseline = flag_at(value, "baseline"),
              .state = text_at(value, "state"),
              .outdated = any_outdated(value),
              .value = &value};
  auto cell = std::find_if(gathered.cells.begin(), gathered.cells.end(),
                           [&](const CellView& c) { return c.label == run.cell; });
  if (cell == gathered.cells.end()) {
    CellView made{.label = run.cell, .baseline = run.baseline};
    for (const std::string& name : gathered.row_names) made.keys.push_back(key_of(value, name));
    gathered.cells.push_back(std::move(made));
    cell = gathered.cells.end() - 1;
  }
  for (const RunView& other : cell->runs) {
    if (other.seed == run.seed) {
      return fail(ErrorCode::kConflict,
                  "cell '{}' has seed {} twice (runs {} and {}): a doubled seed would count twice "
                  "in the mean",
                  run.cell, run.seed, other.run.substr(0, 8), run.run.substr(0, 8));
    }
  }
  cell->runs.push_back(std::move(run));
  return {};
}

std::set<std::uint64_t> seeds_of(const Value& list) {
  std::set<std::uint64_t> out;
  for (const Value& seed : as_array(list)) {
    if (seed.if_number() != nullptr)
      out.insert(static_cast<std::uint64_t>(seed.if_number()->to_integer().value_or(0)));
  }
  return out;
}

}  // namespace

Result<Gathered> gather(const TableRequest& request) {
  Gathered out;
  out.row_names = row_names_of(request.definition, request.runs);
  std::set<std::uint64_t> seeds = seeds_of(at(request.definition, "seeds"));
  const bool planned = !seeds.empty();
  for (const Value& run : request.runs) {
    if (flag_at(run, "orphan")) {
      ++out.orphans;
      continue;
    }
    STRATA_CHECK_OK(add_run(out, run));
    if (!planned) seeds.insert(static_cast<std::uint64_t>(integer_at(run, "seed")));
  }
  if (out.cells.empty()) {
    return fail(ErrorCode::kNotFound, "sweep '{}' has no runs: nothing to make a table of",
                request.sweep);
  }
  out.seeds.assign(seeds.begin(), seeds.end());
  for (CellView& cell : out.cells) {
    // Other seeds where the sweep planned others; and a run that is there is never passed over.
    std::set<std::uint64_t> own = seeds_of(at(at(request.definition, "cell_seeds"), cell.label));
    if (own.empty()) own = seeds;
    for (const RunView& run : cell.runs) own.insert(run.seed);
    cell.seeds.assign(own.begin(), own.end());
    std::sort(cell.runs.begin(), cell.runs.end(),
              [](const RunView& a, const RunView& b) { return a.seed < b.seed; });
  }
  sort_cells(out, request.definition);
  return out;
}

bool is_bound(const std::string& score) {
  return score.ends_with(evaluator::kNotWithin) || score.ends_with(evaluator::kWithin);
}

namespace {

WhyNot why_absent(const RunView& run, const std::string& score) {
  const auto bound = [&](const char* kind) -> const Value& {
    return at(at(*run.value, "scores"), score + kind);
  };
  const auto words = [](const char* says, const Value& value) {
    return WhyNot{.text = fmt::format("{} {} {}, so the cell has no mean", says,
                                      brief_text(at(value, "value")), text_at(value, "unit")),
                  .out_of_sight = true};
  };
  if (const Value& more = bound(evaluator::kNotWithin); !more.is_null())
    return words("not within", more);
  if (const Value& less = bound(evaluator::kWithin); !less.is_null())
    return words("not seen: within the first", less);
  return {.text = run.state == "succeeded" ? "succeeded without this score" : run.state};
}

}  // namespace

Result<std::optional<Sample>> sample_of(const RunView& run, const std::string& score,
                                        WhyNot& why_not) {
  const Value& found = at(at(*run.value, "scores"), score);
  if (run.outdated) {
    why_not = {.text = "outdated: what it was made from has changed since"};
    return std::optional<Sample>{};
  }
  if (found.is_null()) {
    why_not = why_absent(run, score);
    return std::optional<Sample>{};
  }
  Sample sample{.seed = run.seed, .run = run.run, .count = integer_at(found, "count")};
  const auto value = at(found, "value").to_double();
  if (!value || !std::isfinite(*value)) {
    why_not = {.text = fmt::format("its value is {}", brief_text(at(found, "value")))};
    return std::optional<Sample>{};
  }
  sample.value = *value;
  sample.low = at(found, "low").to_double();
  sample.high = at(found, "high").to_double();
  for (const auto& [item, number] : object_at(found, "items"))
    sample.items.emplace(item, number.to_double().value_or(std::nan("")));
  // Workers refuse such scores; those of an earlier build are met here.
  const Score as_said{.name = score, .value = sample.value, .items = sample.items};
  if (const Status sound = check_items(as_said); !sound) {
    return fail(ErrorCode::kDamaged, "run {}: {}", run.run.substr(0, 8), sound.error().message);
  }
  return std::optional<Sample>{std::move(sample)};
}

Error Agreement::mixed(const RunView& run, std::string_view what, std::string_view here,
                       std::string_view there) const {
  return {ErrorCode::kConflict, fmt::format("score '{}' has two {}: {} in cell '{}' (run {}) and "
                                            "{} in cell '{}' (run {}). Such numbers do "
                                            "not mix: "
                                            "submit the sweep again so that one version scores "
                                            "all, or choose other columns with --scores",
                                            score_, what, there, cell_, run_.substr(0, 8), here,
                                            run.cell, run.run.substr(0, 8))};
}

Status Agreement::add(const RunView& run, const Value& score, const Sample& sample) {
  std::vector<std::string> items;
  for (const auto& [item, value] : sample.items) items.push_back(item);
  const std::string judge = text_at(score, "judge");
  if (!any()) {
    run_ = run.run;
    cell_ = run.cell;
    unit_ = text_at(score, "unit");
    better_ = text_at(score, "better", "none");
    judge_ = judge;
    items_ = std::move(items);
    return {};
  }
  const auto named = [](const std::string& text) {
    return text.empty() ? std::string("none") : text;
  };
  if (judge != judge_) return tl::unexpected(mixed(run, "judges", named(judge), named(judge_)));
  if (text_at(score, "unit") != unit_) {
    return tl::unexpected(mixed(run, "units", named(text_at(score, "unit")), named(unit_)));
  }
  if (items == items_) return {};
  std::vector<std::string> odd;
  std::set_symmetric_difference(items.begin(), items.end(), items_.begin(), items_.end(),
                                std::back_inserter(odd));
  return tl::unexpected(
      mixed(run, "sets of utterances",
            fmt::format("{} of them (differing in '{}')", items.size(), odd.front()),
            fmt::format("{}", items_.size())));
}

}  // namespace strata::cli

#include "cli/table.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/json.h"
#include "cli/table_gather.h"
#include "cli/table_published.h"
#include "cli/view.h"
#include "schema/expression.h"

namespace strata::cli {

namespace {

constexpr int kDecimalsMax = 6;

constexpr std::size_t kRunsNamed = 6;  // in one note

// Why runs have no value, and which runs.
struct Missing {
  std::string why{};
  std::string stage{};
  std::string reason{};
  std::vector<std::pair<std::uint64_t, std::string>> runs{};  // seed, run
};

struct Builder {
  const TableRequest& request;
  Gathered gathered;
  AblationTable table{};
  // [cell][column] in full, items included
  std::vector<std::vector<std::vector<Sample>>> samples{};
  std::vector<Agreement> agreements{};
  std::map<std::size_t, Missing> missing{};  // by note

  std::size_t note(const std::string& text);
  std::size_t note_missing(const RunView& run, const std::string& why);
  void write_notes();
  Status read_cell(std::size_t row, std::size_t column);
  Status read_all();
  Status compare_with_baseline();
  void judge_differences(const TableRow& baseline);
  Status mark_unintelligible();
  void mark_best();
  void choose_decimals();
  Status read_references();
  Result<ReferenceRow> read_reference(const std::string& set);
};

std::size_t Builder::note(const std::string& text) {
  const auto found = std::find(table.notes.begin(), table.notes.end(), text);
  if (found != table.notes.end()) return static_cast<std::size_t>(found - table.notes.begin());
  table.notes.push_back(text);
  return table.notes.size() - 1;
}

bool is_unfinished(std::string_view state) {
  return state == "running" || state == "leased" || state == "queued" || state == "blocked" ||
         state == "held";
}

std::size_t Builder::note_missing(const RunView& run, const std::string& why) {
  if (is_unfinished(why)) return note(fmt::format("not finished yet: {}", why));
  Missing about{.why = why};
  for (const auto& [stage, value] : object_at(*run.value, "stages")) {
    if (text_at(value, "state") != run.state || run.state == "succeeded") continue;
    about.stage = stage;
    const auto known = request.reasons.find(text_at(value, "task"));
    if (known != request.reasons.end()) about.reason = known->second;
    break;
  }
  // One note for all runs with the same cause; its text is written when all of them are known.
  const std::size_t index = note(fmt::format("{}\n{}\n{}", about.why, about.stage, about.reason));
  missing.try_emplace(index, std::move(about)).first->second.runs.emplace_back(run.seed, run.run);
  return index;
}

void Builder::write_notes() {
  for (auto& [index, about] : missing) {
    std::sort(about.runs.begin(), about.runs.end());
    about.runs.erase(std::unique(about.runs.begin(), about.runs.end()), about.runs.end());
    std::set<std::string> seeds;
    std::vector<std::string> runs;
    for (const auto& [seed, run] : about.runs) {
      seeds.insert(std::to_string(seed));
      if (runs.size() < kRunsNamed) runs.push_back(run.substr(0, 8));
    }
    std::string text = fmt::format("{} {}: {} ({} {}", seeds.size() == 1 ? "seed" : "seeds",
                                   fmt::join(seeds, ", "), about.why,
                                   about.runs.size() == 1 ? "run" : "runs", fmt::join(runs, ", "));
    if (about.runs.size() > runs.size())
      text += fmt::format(" and {} more", about.runs.size() - runs.size());
    if (!about.stage.empty()) text += ", " + about.stage;
    table.notes[index] = text + (about.reason.empty() ? ")" : "): " + about.reason);
  }
}

Status Builder::read_cell(std::size_t row, std::size_t column) {
  const CellView& cell = gathered.cells[row];
  TableCell& out = table.rows[row].cells[column];
  const std::string& score = table.columns[column].score;
  std::vector<Sample>& found = samples[row][column];
  out.seeds_expected = cell.seeds.size();
  bool out_of_sight = false;
  for (const std::uint64_t seed : cell.seeds) {
    const auto run = std::find_if(cell.runs.begin(), cell.runs.end(),
                                  [&](const RunView& r) { return r.seed == seed; });
    if (run == cell.runs.end()) {
      out.notes.push_back(
          note(fmt::format("seed {}: the sweep has no such run of this cell", seed)));
      continue;
    }
    WhyNot why_not;
    STRATA_TRY(auto sample, sample_of(*run, score, why_not));
    if (!sample) {
      out.notes.push_back(note_missing(*run, why_not.text));
      out_of_sight = out_of_sight || why_not.out_of_sight;
      continue;
    }
    STRATA_CHECK_OK(agreements[column].add(*run, at(at(*run->value, "scores"), score), *sample));
    found.push_back(std::move(*sample));
  }
  std::sort(out.notes.begin(), out.notes.end());
  out.notes.erase(std::unique(out.notes.begin(), out.notes.end()), out.notes.end());
  // Those that are left are the fast ones, or the slow ones: their mean would be of nothing.
  if (out_of_sight) found.clear();
  if (found.empty()) return {};
  STRATA_TRY(out.estimate, estimate(found, request.bootstrap));
  for (const Sample& sample : found) {
    out.samples.push_back({.seed = sample.seed,
                           .run = sample.run,
                           .value = sample.value,
                           .low = sample.low,
                           .high = sample.high,
                           .count = sample.count});
  }
  return {};
}

Status Builder::read_all() {
  samples.resize(gathered.cells.size());
  for (std::size_t row = 0; row < gathered.cells.size(); ++row) {
    samples[row].resize(table.columns.size());
    for (std::size_t column = 0; column < table.columns.size(); ++column)
      STRATA_CHECK_OK(read_cell(row, column));
  }
  for (std::size_t column = 0; column < table.columns.size(); ++column) {
    TableColumn& out = table.columns[column];
    const Agreement& agreed = agreements[column];
    out.better = agreed.any() ? agreed.better() : "none";
    out.judge = agreed.judge();
    out.unit = agreed.unit() == "fraction" ? "%" : agreed.unit();
    out.scale = agreed.unit() == "fraction" ? 100 : 1;
  }
  return {};
}

Status Builder::compare_with_baseline() {
  const auto base = std::find_if(table.rows.begin(), table.rows.end(),
                                 [](const TableRow& row) { return row.baseline; });
  if (base == table.rows.end()) return {};
  table.baseline = base->cell;
  const auto base_row = static_cast<std::size_t>(base - table.rows.begin());
  for (std::size_t row = 0; row < table.rows.size(); ++row) {
    if (table.rows[row].baseline) continue;
    for (std::size_t column = 0; column < table.columns.size(); ++column) {
      STRATA_TRY(
          table.rows[row].cells[column].delta,
          paired_difference(samples[row][column], samples[base_row][column], request.bootstrap));
    }
  }
  judge_differences(*base);
  return {};
}

bool has_all_seeds(const TableCell& cell) {
  return cell.estimate && cell.estimate->seeds == cell.seeds_expected;
}

void Builder::judge_differences(const TableRow& baseline) {
  for (std::size_t column = 0; column < table.columns.size(); ++column) {
    std::vector<Difference*> family;
    for (TableRow& row : table.rows) {
      TableCell& cell = row.cells[column];
      family.push_back(cell.delta ? &*cell.delta : nullptr);
    }
    adjust_for_comparisons(family);
    for (TableRow& row : table.rows) {
      TableCell& cell = row.cells[column];
      if (row.baseline || !cell.estimate || !baseline.cells[column].estimate) continue;
      cell.compared = true;
      cell.lacks = lacks_of(cell.delta ? &*cell.delta : nullptr,
                            has_all_seeds(cell) && has_all_seeds(baseline.cells[column]));
    }
  }
}

Status Builder::mark_unintelligible() {
  const std::string* named = at(at(request.definition, "table"), "do_not_rank_when").if_string();
  table.rule = named == nullptr ? std::string(kDoNotRankDefault) : *named;
  if (table.rule.empty()) return {};
  auto parsed = Expression::parse(table.rule);
  if (!parsed)
    return tl::unexpected(
        parsed.error().while_doing(fmt::format("rule do_not_rank_when '{}'", table.rule)));
  const Expression rule = std::move(*parsed);
  const std::set<std::string> names = rule.names();
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    for (const RunView& run : gathered.cells[i].runs) {  // one seed that does not speak is enough
      if (run.outdated) continue;
      const Value& scores = at(*run.value, "scores");
      const auto lookup = [&](std::string_view name) -> const Value* {
        const Value& value = at(at(scores, name), "value");
        return value.is_null() ? nullptr : &value;
      };
      STRATA_TRY(const bool holds, rule.holds(lookup));
      if (holds) table.rows[i].intelligible = false;
    }
  }
  if (!table.has_unintelligible()) return {};
  // What a model judged from speech that nobody understands ranks nothing: WER, SIM and MOS alike.
  // A loss has no judge.
  for (TableColumn& column : table.columns) {
    if (!column.judge.empty() || names.contains(column.score)) column.ranked = false;
  }
  return {};
}

void Builder::mark_best() {
  for (std::size_t column = 0; column < table.columns.size(); ++column) {
    const TableColumn& about = table.columns[column];
    if (!about.ranked || about.better == "none") continue;
    const double sign = about.better == "lower" ? -1 : 1;
    std::optional<double> best;
    for (const TableRow& row : table.rows) {
      const auto& estimated = row.cells[column].estimate;
      if (estimated && (!best || sign * estimated->value > *best)) best = sign * estimated->value;
    }
    for (TableRow& row : table.rows) {
      TableCell& cell = row.cells[column];
      if (!cell.estimate || sign * cell.estimate->value < *best) continue;
      cell.best = verdict_of(about, cell) == Verdict::kBetter;
    }
  }
}

// As many digits as make half an interval of the column's middle row two digits long: more would be
// noise.
void Builder::choose_decimals() {
  for (std::size_t column = 0; column < table.columns.size(); ++column) {
    TableColumn& out = table.columns[column];
    std::vector<double> halves;
    for (const TableRow& row : table.rows) {
      const auto& estimated = row.cells[column].estimate;
      if (!estimated || !estimated->low || !estimated->high) continue;
      const double half = out.scale * (*estimated->high - *estimated->low) / 2;
      if (half > 0) halves.push_back(half);
    }
    if (halves.empty()) {
      out.decimals = out.unit == "%" ? 1 : 3;
      continue;
    }
    std::sort(halves.begin(), halves.end());
    const double half = halves[halves.size() / 2];
    out.decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(half))), 0, kDecimalsMax);
  }
}

Result<ReferenceRow> Builder::read_reference(const std::string& set) {
  ReferenceRow out{.set = set};
  for (std::size_t column = 0; column < table.columns.size(); ++column) {
    const std::string name = table.columns[column].score + "/" + set;
    std::map<std::string, Sample>
        by_task;  // runs share the task that scored a reference, or repeat it
    Agreement agreement(name);
    for (const CellView& cell : gathered.cells) {
      for (const RunView& run : cell.runs) {
        WhyNot why_not;
        STRATA_TRY(auto sample, sample_of(run, name, why_not));
        if (!sample) continue;
        const Value& score = at(at(*run.value, "scores"), name);
        STRATA_CHECK_OK(agreement.add(run, score, *sample));
        by_task.emplace(text_at(score, "task"), std::move(*sample));
      }
    }
    out.cells.emplace_back();
    out.notes.emplace_back();
    if (by_task.empty()) continue;
    if (agreements[column].any() && agreement.judge() != agreements[column].judge()) {
      return fail(
          ErrorCode::kConflict,
          "score '{}' was judged by {} but '{}' by {}: a reference must have the same judge", name,
          agreement.judge(), table.columns[column].score, agreements[column].judge());
    }
    std::vector<Sample> all;
    for (auto& [task, sample] : by_task) {
      if (all.empty() || all.front().value != sample.value || all.front().items != sample.items)
        all.push_back(std::move(sample));
    }
    STRATA_TRY(out.cells.back(), estimate(all, request.bootstrap));
    if (all.size() > 1) {
      out.notes.back().push_back(note(fmt::format(
          "{}: {} evaluations of this reference gave different values; their mean is shown", name,
          all.size())));
    }
  }
  return out;
}

Status Builder::read_references() {
  std::vector<std::string> sets;
  for (const Value& set : array_at(at(request.definition, "table"), "references")) {
    if (set.if_string() != nullptr) sets.push_back(*set.if_string());
  }
  if (sets.empty()) {
    std::set<std::string> found;
    for (const Value& run : request.runs) {
      for (const auto& [name, score] : object_at(run, "scores")) {
        const std::size_t slash = name.find('/');
        if (slash != std::string::npos && !is_bound(name)) found.insert(name.substr(slash + 1));
      }
    }
    sets.assign(found.begin(), found.end());
  }
  for (const std::string& set : sets) {
    STRATA_TRY(auto row, read_reference(set));
    const bool any = std::any_of(row.cells.begin(), row.cells.end(),
                                 [](const auto& cell) { return cell.has_value(); });
    if (any) table.references.push_back(std::move(row));
  }
  return {};
}

// "text=3 speech=4": made from what varies. Definitions of older submissions do not say which
// labels were written by hand.
bool is_made_from_parameters(const std::string& label) {
  std::size_t begin = 0;
  while (begin <= label.size()) {
    const std::size_t end = std::min(label.find(' ', begin), label.size());
    if (label.substr(begin, end - begin).find('=') == std::string::npos) return false;
    begin = end + 1;
  }
  return true;
}

// Labels written by hand are one more column, and so are those of rows whose parameters are the
// same; where no row has either, labels would only repeat the parameters.
void name_rows(AblationTable& table, const Value& definition) {
  bool any = false;
  const Array& labelled = array_at(definition, "labelled");
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    TableRow& row = table.rows[i];
    row.labelled = std::find(labelled.begin(), labelled.end(), Value(row.cell)) != labelled.end();
    for (std::size_t j = 0; labelled.empty() && j < table.rows.size(); ++j) {
      if (i != j && row.keys == table.rows[j].keys)
        row.labelled = row.labelled || !is_made_from_parameters(row.cell);
    }
    any = any || row.labelled;
  }
  if (!any) return;
  table.row_names.emplace_back(kCellColumn);
  table.row_headers.emplace_back(kCellColumn);
  for (TableRow& row : table.rows) row.keys.emplace_back(row.cell);
}

std::vector<std::string> chosen_scores(const Value& definition, const Array& runs,
                                       const std::vector<std::string>& chosen) {
  if (!chosen.empty()) return chosen;
  std::vector<std::string> names;
  for (const Value& name : array_at(at(definition, "table"), "scores")) {
    if (name.if_string() != nullptr) names.push_back(*name.if_string());
  }
  if (!names.empty()) return names;
  std::set<std::string> found;
  for (const Value& run : runs) {
    for (const auto& [name, score] : object_at(run, "scores")) {
      if (name.find('/') == std::string::npos) found.insert(name);
    }
  }
  return {found.begin(), found.end()};
}

}  // namespace

Verdict verdict_of(const TableColumn& column, const TableCell& cell) {
  if (!cell.compared) return Verdict::kNotCompared;
  if (!cell.lacks.empty()) return Verdict::kNothingClaimed;
  if (!column.ranked) return Verdict::kNotRanked;
  if (column.better == "none") return Verdict::kDiffers;
  return (cell.delta->value > 0) == (column.better == "higher") ? Verdict::kBetter
                                                                : Verdict::kWorse;
}

std::string verdict_text(const TableColumn& column, const TableCell& cell) {
  switch (verdict_of(column, cell)) {
    case Verdict::kNotCompared:
    case Verdict::kNotRanked: return "";
    case Verdict::kNothingClaimed: return std::string(name_of(cell.lacks.front()));
    case Verdict::kBetter: return "better";
    case Verdict::kWorse: return "worse";
    case Verdict::kDiffers: return "differs";
  }
  return "";
}

bool AblationTable::has_unintelligible() const {
  return std::any_of(rows.begin(), rows.end(),
                     [](const TableRow& row) { return !row.intelligible; });
}

std::vector<std::string> scores_needed(const Value& definition, const Array& runs,
                                       const std::vector<std::string>& chosen) {
  const std::vector<std::string> columns = chosen_scores(definition, runs, chosen);
  std::set<std::string> needed(columns.begin(), columns.end());
  for (const Value& run : runs) {
    for (const auto& [name, score] : object_at(run, "scores")) {
      const std::size_t slash = name.find('/');
      if (slash != std::string::npos && needed.contains(name.substr(0, slash))) needed.insert(name);
    }
  }
  return {needed.begin(), needed.end()};
}

std::vector<std::string> short_names(const std::vector<std::string>& dotted) {
  std::vector<std::vector<std::string>> parts;
  for (const std::string& name : dotted) {
    std::vector<std::string> steps;
    std::size_t begin = 0;
    for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', begin)) {
      steps.push_back(name.substr(begin, dot - begin));
      begin = dot + 1;
    }
    steps.push_back(name.substr(begin));
    parts.push_back(std::move(steps));
  }
  std::size_t common = 0;  // leading steps that all share, never the last one
  const auto shared = [&](std::size_t step) {
    return std::all_of(parts.begin(), parts.end(), [&](const auto& p) {
      return p.size() > step + 1 && p[step] == parts[0][step];
    });
  };
  if (parts.size() == 1) common = parts[0].size() > 2 ? parts[0].size() - 2 : 0;
  while (parts.size() > 1 && shared(common)) ++common;
  std::vector<std::string> names;
  for (const auto& steps : parts) {
    std::string name;
    for (std::size_t i = common; i < steps.size(); ++i)
      name += (name.empty() ? "" : " ") + steps[i];
    names.push_back(std::move(name));
  }
  return names;
}

std::string row_key_text(const std::string& parameter, const Value& value) {
  const bool layer =
      parameter == "layer" || parameter.ends_with(".layer") || parameter.ends_with("_layer");
  if (value.is_null() || (layer && value == Value(0))) return "–";
  const bool* flag = value.if_bool();
  if (flag != nullptr) return *flag ? "yes" : "–";
  return brief_text(value);
}

Result<AblationTable> build_table(const TableRequest& request) {
  STRATA_TRY(Gathered gathered, gather(request));
  Builder builder{.request = request, .gathered = std::move(gathered)};
  AblationTable& table = builder.table;
  table.sweep = request.sweep;
  table.description = text_at(request.definition, "description");
  table.row_names = builder.gathered.row_names;
  table.row_headers = short_names(table.row_names);
  table.seeds = builder.gathered.seeds;
  table.orphans = builder.gathered.orphans;
  table.bootstrap = request.bootstrap;
  for (const std::string& score : chosen_scores(request.definition, request.runs, request.scores)) {
    table.columns.push_back({.score = score});
    builder.agreements.emplace_back(score);
  }
  for (const Value& family : array_at(request.definition, "judge_as_teacher")) {
    table.judge_as_teacher.push_back(brief_text(family));
  }
  for (const CellView& cell : builder.gathered.cells) {
    table.rows.push_back({.cell = cell.label, .keys = cell.keys, .baseline = cell.baseline});
    table.rows.back().cells.resize(table.columns.size());
  }
  name_rows(table, request.definition);
  STRATA_CHECK_OK(builder.read_all());
  builder.write_notes();
  STRATA_CHECK_OK(builder.compare_with_baseline());
  STRATA_CHECK_OK(builder.mark_unintelligible());
  builder.mark_best();
  builder.choose_decimals();
  STRATA_CHECK_OK(builder.read_references());
  if (request.published) table.published = published_of(request.definition, table);
  return std::move(table);
}

}  // namespace strata::cli

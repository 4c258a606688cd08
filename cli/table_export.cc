#include <algorithm>
#include <cmath>
#include <numeric>

#include "cli/render/progress.h"
#include "cli/table_published.h"
#include "cli/table_render.h"
#include "cli/view.h"

namespace strata::cli {

namespace {

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

// Without the label column: the first column of a CSV is the label already.
std::size_t own_row_names(const AblationTable& table) {
  return !table.row_names.empty() && table.row_names.back() == kCellColumn
             ? table.row_names.size() - 1
             : table.row_names.size();
}

std::string csv_number(std::optional<double> value) { return value ? Number(*value).text() : ""; }

std::string joined_notes(const AblationTable& table, const std::vector<std::size_t>& notes) {
  std::string text;
  for (const std::size_t index : notes) text += (text.empty() ? "" : "; ") + table.notes[index];
  return text;
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (std::size_t i = 0; i < fields.size(); ++i)
    line += (i == 0 ? "" : ",") + csv_field(fields[i]);
  return line + "\r\n";
}

std::string markdown_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|' || c == '*' || c == '_' || c == '`' || c == '<' || c == '[' || c == ']' ||
        c == '\\')
      out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string markdown_cell(const TableColumn& column, const TableRow& row, const TableCell& cell) {
  const CellText parts = cell_text(column, cell);
  std::string out = markdown_text(parts.value);
  if (cell.best) out = "**" + out + "**";
  if (!parts.seeds.empty()) out += "<br>" + markdown_text(parts.seeds);
  if (row.baseline) out += "<br>*baseline*";
  if (!parts.delta.empty()) out += "<br>" + markdown_text(parts.delta);
  if (!parts.verdict.empty()) out += "<br>*" + parts.verdict + "*";
  if (!row.intelligible && !column.ranked) out += "<br>*" + std::string(kNotIntelligible) + "*";
  return out;
}

Value json_number(std::optional<double> value) { return value ? Value(*value) : Value(); }

Value json_estimate(const Estimate& estimate) {
  return Object{
      {"value", estimate.value},
      {"low", json_number(estimate.low)},
      {"high", json_number(estimate.high)},
      {"interval", estimate.interval == IntervalKind::kBootstrap    ? "bootstrap over utterances"
                   : estimate.interval == IntervalKind::kAsReported ? "as reported"
                                                                    : "none"},
      {"seeds", static_cast<std::int64_t>(estimate.seeds)},
      {"seed_low", estimate.seed_low},
      {"seed_high", estimate.seed_high},
      {"count", estimate.utterances}};
}

// "better", "worse", "differs"; empty where nothing is claimed.
std::string claim_of(const TableColumn& column, const TableCell& cell) {
  return cell.lacks.empty() ? verdict_text(column, cell) : "";
}

Value json_delta(const Difference& delta) {
  Array seeds;
  for (const double value : delta.seed_deltas) seeds.push_back(value);
  return Object{{"value", delta.value},
                {"low", json_number(delta.low)},
                {"high", json_number(delta.high)},
                {"seeds", static_cast<std::int64_t>(delta.seeds)},
                {"seed_deltas", std::move(seeds)},
                {"count", delta.utterances},
                {"p", json_number(delta.p)},
                {"p_holm", json_number(delta.p_holm)},
                {"comparisons", static_cast<std::int64_t>(delta.comparisons)},
                {"inside_the_noise", delta.low.has_value() && !delta.excludes_zero()}};
}

Value json_cell(const AblationTable& table, const TableColumn& column, const TableCell& cell) {
  Object out{{"seeds_expected", static_cast<std::int64_t>(cell.seeds_expected)},
             {"bold", cell.best}};
  if (cell.estimate) out["estimate"] = json_estimate(*cell.estimate);
  if (cell.delta) out["delta"] = json_delta(*cell.delta);
  const std::string claim = claim_of(column, cell);
  out["verdict"] = claim.empty() ? Value() : Value(claim);
  Array lacks;
  for (const Lack lack : cell.lacks) lacks.push_back(std::string(name_of(lack)));
  out["lacks"] = std::move(lacks);
  Array runs;
  for (const Sample& sample : cell.samples) {
    runs.push_back(Object{{"run", sample.run}, {"seed", sample.seed}, {"value", sample.value}});
  }
  out["runs"] = std::move(runs);
  Array notes;
  for (const std::size_t index : cell.notes) notes.push_back(table.notes[index]);
  out["notes"] = std::move(notes);
  return out;
}

}  // namespace

namespace {

void csv_column(std::vector<std::string>& fields, const TableColumn& column,
                const std::string& score) {
  fields.insert(fields.end(), {score, column.scale == 100 ? "fraction" : column.unit, column.better,
                               column.judge});
}

void csv_estimate(std::vector<std::string>& fields, const std::optional<Estimate>& e,
                  std::size_t expected) {
  fields.push_back(e ? csv_number(e->value) : "");
  fields.push_back(e ? csv_number(e->low) : "");
  fields.push_back(e ? csv_number(e->high) : "");
  fields.push_back(std::to_string(e ? e->seeds : 0));
  fields.push_back(std::to_string(expected));
  fields.push_back(e ? csv_number(e->seed_low) : "");
  fields.push_back(e ? csv_number(e->seed_high) : "");
  fields.push_back(e ? std::to_string(e->utterances) : "");
}

void csv_comparison(std::vector<std::string>& fields, const TableColumn& column,
                    const TableCell& cell) {
  const Difference none;
  const Difference& delta = cell.delta ? *cell.delta : none;
  fields.push_back(cell.delta ? csv_number(delta.value) : "");
  fields.push_back(csv_number(delta.low));
  fields.push_back(csv_number(delta.high));
  fields.push_back(cell.delta ? std::to_string(delta.seeds) : "");
  fields.push_back(csv_number(delta.p));
  fields.push_back(csv_number(delta.p_holm));
  fields.push_back(claim_of(column, cell));
  std::string lacks;
  for (const Lack lack : cell.lacks)
    lacks += (lacks.empty() ? "" : "; ") + std::string(name_of(lack));
  fields.push_back(lacks);
  fields.emplace_back(cell.best ? "true" : "false");
}

void csv_published(std::vector<std::string>& fields, const AblationTable& table, std::size_t row,
                   std::size_t column) {
  if (!table.published) return;
  std::optional<double> value;
  for (const PublishedRow& published : table.published->rows) {
    if (published.row == row) value = published.values[column];
  }
  fields.push_back(csv_number(value));
  fields.push_back(value ? table.published->source : "");
}

std::string csv_rows(const AblationTable& table, std::size_t names) {
  std::string out;
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    const TableRow& row = table.rows[r];
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      const TableColumn& column = table.columns[i];
      const TableCell& cell = row.cells[i];
      std::vector<std::string> fields = {row.cell};
      for (std::size_t k = 0; k < names; ++k)
        fields.push_back(row.keys[k].is_null() ? "" : brief_text(row.keys[k]));
      fields.emplace_back(row.baseline ? "true" : "false");
      csv_column(fields, column, column.score);
      csv_estimate(fields, cell.estimate, cell.seeds_expected);
      csv_comparison(fields, column, cell);
      std::string notes = joined_notes(table, cell.notes);
      if (!row.intelligible && !column.ranked)
        notes += (notes.empty() ? "" : "; ") + std::string(kNotIntelligible);
      fields.push_back(notes);
      csv_published(fields, table, r, i);
      out += csv_line(fields);
    }
  }
  return out;
}

std::string csv_references(const AblationTable& table, std::size_t names) {
  std::string out;
  for (const ReferenceRow& row : table.references) {
    for (std::size_t i = 0; i < table.columns.size(); ++i) {
      if (!row.cells[i]) continue;
      const TableColumn& column = table.columns[i];
      std::vector<std::string> fields = {reference_label(row.set)};
      fields.resize(1 + names);
      fields.emplace_back("false");
      csv_column(fields, column, column.score + "/" + row.set);
      csv_estimate(fields, row.cells[i], row.cells[i]->seeds);
      csv_comparison(fields, column, {});
      fields.push_back(joined_notes(table, row.notes[i]));
      if (table.published) fields.insert(fields.end(), {"", ""});
      out += csv_line(fields);
    }
  }
  return out;
}

}  // namespace

std::string table_as_csv(const AblationTable& table) {
  std::vector<std::string> header = {"cell"};
  const std::size_t names = own_row_names(table);
  header.insert(header.end(), table.row_names.begin(),
                table.row_names.begin() + static_cast<std::ptrdiff_t>(names));
  for (const char* name :
       {"baseline", "score",   "unit",      "better",         "judge",       "value",
        "low",      "high",    "seeds",     "seeds_expected", "seed_low",    "seed_high",
        "n",        "delta",   "delta_low", "delta_high",     "delta_seeds", "p",
        "p_holm",   "verdict", "lacks",     "bold",           "notes"}) {
    header.emplace_back(name);
  }
  // Beside the measured number, never below it: a reader who takes a column takes one kind.
  if (table.published) header.insert(header.end(), {"published", "published_source"});
  return csv_line(header) + csv_rows(table, names) + csv_references(table, names);
}

namespace {

std::string markdown_header(const AblationTable& table, const std::vector<std::size_t>& columns) {
  std::string header = "|";
  std::string rule = "|";
  for (const std::string& name : table.row_headers) {
    header += " " + markdown_text(name) + " |";
    rule += " --- |";
  }
  for (const std::size_t i : columns) {
    header += " " + markdown_text(header_text(table.columns[i])) + " |";
    rule += " --- |";
  }
  return header + "\n" + rule + "\n";
}

std::string markdown_keys(const AblationTable& table, const TableRow& row) {
  std::string out = "|";
  for (std::size_t k = 0; k < row.keys.size(); ++k)
    out += " " + markdown_text(row_key_text(table.row_names[k], row.keys[k])) + " |";
  return out;
}

std::string markdown_references(const AblationTable& table) {
  std::string out;
  for (const ReferenceRow& row : table.references) {
    out += "| *" + markdown_text(reference_label(row.set)) + "* |";
    for (std::size_t k = 1; k < table.row_names.size(); ++k) out += "  |";
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      std::string text =
          row.cells[i] ? markdown_text(estimate_text(table.columns[i], *row.cells[i])) : "–";
      for (const std::size_t index : row.notes[i]) text += " (" + note_mark(index) + ")";
      out += " " + text + " |";
    }
    out += "\n";
  }
  return out;
}

std::string markdown_published(const AblationTable& table) {
  if (!table.published) return "";
  std::string out = "\n**" + markdown_text(published_label(table.published->source)) +
                    "**, not measured here:\n\n";
  out += markdown_header(table, table.published->columns);
  for (const PublishedRow& row : table.published->rows) {
    out += markdown_keys(table, table.rows[row.row]);
    for (const std::size_t i : table.published->columns)
      out += " " + published_text(table, row, i) + " |";
    out += "\n";
  }
  return out;
}

}  // namespace

std::string table_as_markdown(const AblationTable& table) {
  std::vector<std::size_t> columns(table.columns.size());
  std::iota(columns.begin(), columns.end(), std::size_t{0});
  std::string out = markdown_header(table, columns);
  for (const TableRow& row : table.rows) {
    out += markdown_keys(table, row);
    for (std::size_t i = 0; i < row.cells.size(); ++i)
      out += " " + markdown_cell(table.columns[i], row, row.cells[i]) + " |";
    out += "\n";
  }
  out += markdown_references(table) + markdown_published(table) + "\n";
  for (std::size_t i = 0; i < table.notes.size(); ++i) {
    out += fmt::format("({}) {}  \n", note_mark(i), markdown_text(table.notes[i]));
  }
  if (!table.notes.empty()) out += "\n";
  for (const std::string& remark : table_remarks(table)) out += "- " + markdown_text(remark) + "\n";
  return out;
}

Value table_as_json(const AblationTable& table) {
  Array columns;
  for (const TableColumn& column : table.columns) {
    columns.push_back(Object{{"score", column.score},
                             {"unit", column.scale == 100 ? "fraction" : column.unit},
                             {"better", column.better},
                             {"judge", column.judge},
                             {"ranked", column.ranked}});
  }
  Array rows;
  for (const TableRow& row : table.rows) {
    Object keys;
    for (std::size_t k = 0; k < row.keys.size(); ++k) keys[table.row_names[k]] = row.keys[k];
    Object scores;
    for (std::size_t i = 0; i < row.cells.size(); ++i)
      scores[table.columns[i].score] = json_cell(table, table.columns[i], row.cells[i]);
    rows.push_back(Object{{"cell", row.cell},
                          {"parameters", std::move(keys)},
                          {"baseline", row.baseline},
                          {"intelligible", row.intelligible},
                          {"scores", std::move(scores)}});
  }
  Object references;
  for (const ReferenceRow& row : table.references) {
    Object scores;
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      if (row.cells[i]) scores[table.columns[i].score] = json_estimate(*row.cells[i]);
    }
    references[row.set] = std::move(scores);
  }
  Value published;
  if (table.published) {
    Object cells;
    for (const PublishedRow& row : table.published->rows) {
      Object scores;
      for (std::size_t i = 0; i < row.values.size(); ++i) {
        if (row.values[i]) scores[table.columns[i].score] = *row.values[i];
      }
      cells[table.rows[row.row].cell] = std::move(scores);
    }
    published = Object{{"source", table.published->source}, {"cells", std::move(cells)}};
  }
  Array remarks;
  for (const std::string& remark : table_remarks(table)) remarks.push_back(remark);
  Array seeds;
  for (const std::uint64_t seed : table.seeds) seeds.push_back(seed);
  Array notes;
  for (const std::string& text : table.notes) notes.push_back(text);
  return Object{{"sweep", table.sweep},
                {"columns", std::move(columns)},
                {"rows", std::move(rows)},
                {"references", std::move(references)},
                {"published", std::move(published)},
                {"seeds", std::move(seeds)},
                {"notes", std::move(notes)},
                {"remarks", std::move(remarks)},
                {"do_not_rank_when", table.rule}};
}

}  // namespace strata::cli

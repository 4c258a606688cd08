#include "cli/query.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "cli/render/progress.h"
#include "cli/render/text_table.h"
#include "cli/view.h"

namespace strata::cli {

namespace {

constexpr const char* kOwnNames[] = {"state", "seed", "cell", "run", "sweep", "baseline", "orphan"};

bool is_own(std::string_view name) {
  return std::find(std::begin(kOwnNames), std::end(kOwnNames), name) != std::end(kOwnNames);
}

// Numbers before texts before the rest, so that the order is one for mixed columns too; nulls last.
struct SortKey {
  int rank = 3;
  double number = 0;
  std::string text{};
};

SortKey key_of(const Value& value) {
  if (const Number* number = value.if_number(); number != nullptr)
    return {0, number->to_double(), ""};
  if (const std::string* text = value.if_string(); text != nullptr) return {1, 0, *text};
  if (value.is_null()) return {};
  return {2, 0, brief_text(value)};
}

bool before(const SortKey& a, const SortKey& b, bool descending) {
  if (a.rank != b.rank) return a.rank < b.rank;
  const bool less = a.rank == 0 ? a.number < b.number : a.text < b.text;
  const bool greater = a.rank == 0 ? b.number < a.number : b.text < a.text;
  return descending ? greater : less;
}

}  // namespace

const Value* run_lookup(const Value& run, std::string_view name) {
  const auto known = [](const Value& value) { return value.is_null() ? nullptr : &value; };
  if (is_own(name)) return known(at(run, name));
  if (const Value* assigned = known(at(at(run, "assignment"), name)); assigned != nullptr)
    return assigned;
  if (const Value* parameter = at(run, "parameters").find(name); parameter != nullptr)
    return known(*parameter);
  return known(at(at(at(run, "scores"), name), "value"));
}

Result<Array> run_query(const Query& query, const Array& runs) {
  std::vector<std::pair<SortKey, const Value*>> kept;
  for (const Value& run : runs) {
    const auto lookup = [&](std::string_view name) { return run_lookup(run, name); };
    const auto named = [&](const Error& error) {
      return tl::unexpected(
          error.while_doing(fmt::format("run {}", text_at(run, "run").substr(0, 8))));
    };
    if (query.filter) {
      const auto holds = query.filter->holds(lookup);
      if (!holds) return named(holds.error());
      if (!*holds) continue;
    }
    SortKey key;
    if (query.order_by) {
      const auto value = query.order_by->evaluate(lookup);
      if (!value) return named(value.error());
      key = key_of(*value);
    }
    kept.emplace_back(std::move(key), &run);
  }
  if (query.order_by) {
    std::stable_sort(kept.begin(), kept.end(), [&](const auto& a, const auto& b) {
      return before(a.first, b.first, query.descending);
    });
  }
  Array out;
  for (const auto& [key, run] : kept) {
    if (query.limit && static_cast<std::int64_t>(out.size()) >= *query.limit) break;
    out.push_back(*run);
  }
  return out;
}

std::vector<std::string> names_in(const Query& query) {
  std::set<std::string> names;
  for (const auto* part : {&query.filter, &query.order_by}) {
    if (!*part) continue;
    for (const std::string& name : (*part)->names()) {
      if (!is_own(name)) names.insert(name);
    }
  }
  return {names.begin(), names.end()};
}

Result<Query> read_query(const std::string& text) {
  auto query = parse_query(text);
  if (query) return query;
  // "column 15: ..." counts bytes from 1; what is shown counts columns of the terminal.
  constexpr std::string_view kColumn = "column ";
  const std::string& message = query.error().message;
  std::size_t column = 0;
  if (message.starts_with(kColumn)) {
    const char* begin = message.data() + kColumn.size();
    std::from_chars(begin, message.data() + message.size(), column);
  }
  if (column == 0 || column > text.size() + 1) return query;
  const std::string line = printable(text);
  const bool one_line = line.find_first_of("\n\t") == std::string::npos;
  if (!one_line) return query;
  const std::size_t indent = display_width(printable(std::string_view(text).substr(0, column - 1)));
  return tl::unexpected(Error{
      query.error().code, fmt::format("{}\n  {}\n  {}^", message, line, std::string(indent, ' '))});
}

std::vector<std::string> unknown_names(const Query& query, const Array& runs) {
  std::vector<std::string> out;
  for (const std::string& name : names_in(query)) {
    const bool known = std::any_of(runs.begin(), runs.end(), [&](const Value& run) {
      return run_lookup(run, name) != nullptr;
    });
    if (!known) out.push_back(name);
  }
  return out;
}

std::string runs_as_text(const Array& runs, const std::vector<std::string>& names,
                         const Palette& palette) {
  std::set<std::string> scores;
  for (const Value& run : runs) {
    for (const auto& [name, score] : object_at(run, "scores")) {
      const bool listed = std::find(names.begin(), names.end(), name) != names.end();
      if (name.find('/') == std::string::npos && !listed) scores.insert(name);
    }
  }
  std::vector<std::string> shown = names;
  shown.insert(shown.end(), scores.begin(), scores.end());
  std::vector<Column> columns = {{.header = "run"},
                                 {.header = "sweep"},
                                 {.header = "cell"},
                                 {.header = "seed", .right = true},
                                 {.header = "state"}};
  for (const std::string& name : shown) columns.push_back({.header = name, .right = true});
  TextTable table(columns);
  for (const Value& run : runs) {
    const std::string state = text_at(run, "state");
    std::vector<std::string> row = {
        text_at(run, "run").substr(0, 8), printable(text_at(run, "sweep")),
        printable(text_at(run, "cell")) + (flag_at(run, "orphan") ? " (orphan)" : ""),
        std::to_string(integer_at(run, "seed")), palette.paint(tint_of_state(state), state)};
    for (const std::string& name : shown) {
      const Value* value = run_lookup(run, name);
      const Number* number = value == nullptr ? nullptr : value->if_number();
      row.push_back(value == nullptr    ? "–"
                    : number != nullptr ? format_number(number->to_double(), 5)
                                        : printable(brief_text(*value)));
    }
    table.row(std::move(row));
  }
  return table.text(palette) + plural(static_cast<std::int64_t>(runs.size()), "run") + "\n";
}

}  // namespace strata::cli

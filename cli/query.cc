#include "cli/query.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "cli/render/progress.h"
#include "cli/render/text_table.h"
#include "cli/view.h"
#include "schema/run_state.h"

namespace strata::cli {

namespace {

constexpr const char* kOwnNames[] = {"state", "seed", "cell", "run", "sweep", "baseline", "orphan"};

bool is_own(std::string_view name) {
  return std::find(std::begin(kOwnNames), std::end(kOwnNames), name) != std::end(kOwnNames);
}

// A filter about `state` alone that holds for none of them has a word in it that is no state.
Status check_states(const Query& query) {
  if (!query.filter || query.filter->names() != std::set<std::string>{"state"}) return {};
  for (const std::string_view state : kRunStates) {
    const Value value(state);
    const auto holds = query.filter->holds([&](std::string_view) { return &value; });
    if (!holds || *holds) return {};
  }
  return fail(ErrorCode::kInvalid, "{} holds for no state that a run may have: {}",
              query.filter->text(), fmt::join(kRunStates, ", "));
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
  if (query) {
    STRATA_CHECK_OK(check_states(*query));
    return query;
  }
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

std::string groups_as_text(const Array& groups, const std::vector<std::string>& by,
                           const std::vector<std::string>& means, const Palette& palette) {
  std::vector<Column> columns;
  for (const std::string& name : by) columns.push_back({.header = name, .right = true});
  columns.push_back({.header = "runs", .right = true});
  for (const std::string& name : means) {
    columns.push_back({.header = name, .right = true});
    columns.push_back({.header = "± sd", .right = true});
    columns.push_back({.header = "n", .right = true});
  }
  TextTable table(columns);
  for (const Value& group : groups) {
    std::vector<std::string> row;
    for (const std::string& name : by) {
      const Value& value = at(at(group, "by"), name);
      row.push_back(value.is_null() ? "–" : printable(brief_text(value)));
    }
    row.push_back(format_count(integer_at(group, "runs")));
    for (const std::string& name : means) {
      const Value& mean = at(at(group, "values"), name);
      for (const char* part : {"mean", "sd"}) {
        const auto number = at(mean, part).to_double();
        row.push_back(number ? format_number(*number, 5) : "–");
      }
      row.push_back(format_count(integer_at(mean, "n")));
    }
    table.row(std::move(row));
  }
  return table.text(palette) + plural(static_cast<std::int64_t>(groups.size()), "group") + "\n";
}

}  // namespace strata::cli

#include "cli/query.h"

#include <algorithm>
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

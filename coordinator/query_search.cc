// The verb `search`: filter, order, cut, group and average over all runs, from the index in memory.
#include <algorithm>
#include <chrono>
#include <cmath>

#include "coordinator/query_reader.h"
#include "schema/expression.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kSearchNamesMax = 64;  // of each list
constexpr std::size_t kRunsBetweenClockLooks = 256;

// Numbers before texts before the rest, so that the order is one for mixed columns too; nulls last.
struct SortKey {
  int rank = 3;
  double number = 0;
  std::string text{};
};

SortKey key_of(const Value* value) {
  if (value == nullptr || value->is_null()) return {};
  if (const Number* number = value->if_number()) return {0, number->to_double(), ""};
  if (const std::string* text = value->if_string()) return {1, 0, *text};
  return {2, 0, to_canonical_json(*value)};
}

bool before(const SortKey& a, const SortKey& b, bool descending = false) {
  if (a.rank != b.rank) return a.rank < b.rank;
  if (a.rank == 0) return descending ? b.number < a.number : a.number < b.number;
  return descending ? b.text < a.text : a.text < b.text;
}

struct Asked {
  strata::Query query{};  // the language's, not the class of this room
  std::string sweep{};    // empty: all
  std::vector<std::string> by{};
  std::vector<std::string> mean{};
  bool whole = false;
};

Result<Asked> read_question(const Value& body) {
  Fields fields(body, "search");
  Asked asked{.sweep = fields.text("sweep", std::string())};
  const std::string text = fields.text("query", std::string());
  asked.by = fields.texts("by", std::vector<std::string>{});
  asked.mean = fields.texts("mean", std::vector<std::string>{});
  asked.whole = fields.flag("whole", false);
  STRATA_CHECK_OK(fields.finish());
  if (asked.by.size() > kSearchNamesMax || asked.mean.size() > kSearchNamesMax)
    return fail(ErrorCode::kTooLarge, "search: at most {} names to group or average by",
                kSearchNamesMax);
  STRATA_TRY(asked.query, parse_query(text));
  const bool grouped = !asked.by.empty() || !asked.mean.empty();
  if (grouped && asked.query.order_by)
    return fail(ErrorCode::kInvalid,
                "search: groups stand in the order of their values; leave `order by` out");
  return asked;
}

// The names of a question, looked up once.
class Names {
 public:
  explicit Names(const RunIndex& index) : index_(index) {}
  std::size_t add(std::string_view text) {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      if (names_[i].text == text) return i;
    }
    names_.push_back(index_.name(text));
    made_.emplace_back();
    return names_.size() - 1;
  }
  const Value* look(std::size_t i, const RunIndex::Run& run, const RunIndex::Sweep& sweep) {
    return index_.look(run, sweep, names_[i], made_[i]);
  }
  [[nodiscard]] const std::vector<RunIndex::Name>& all() const { return names_; }

 private:
  const RunIndex& index_;
  std::vector<RunIndex::Name> names_;
  std::vector<Value> made_;  // of each: what it is in the run that was looked at last
};

struct Match {
  SortKey key{};
  const RunIndex::Run* run = nullptr;
  const RunIndex::Sweep* sweep = nullptr;
};

// Of one score or parameter over the runs of a group that have a finite number there.
struct Mean {
  std::int64_t count = 0;
  double mean = 0;
  double squares = 0;
  double least = 0;
  double most = 0;

  void add(double value) {
    least = count == 0 ? value : std::min(least, value);
    most = count == 0 ? value : std::max(most, value);
    ++count;
    const double off = value - mean;  // Welford
    mean += off / static_cast<double>(count);
    squares += off * (value - mean);
  }
  [[nodiscard]] Value value() const {
    if (count == 0) return Object{{"n", 0}};
    Object out{{"n", count}, {"mean", mean}, {"min", least}, {"max", most}};
    if (count > 1) out.emplace("sd", std::sqrt(squares / static_cast<double>(count - 1)));
    return out;
  }
};

struct Group {
  std::vector<Value> values{};
  std::vector<SortKey> keys{};
  std::int64_t runs = 0;
  std::vector<Mean> means{};
};

class Search {
 public:
  Search(const RunIndex& index, const Asked& asked) : index_(index), asked_(asked), names_(index) {
    for (const auto* part : {&asked.query.filter, &asked.query.order_by}) {
      if (!*part) continue;
      for (const std::string& name : (*part)->names()) names_.add(name);
    }
    for (const std::string& name : asked.by) by_.push_back(names_.add(name));
    for (const std::string& name : asked.mean) mean_.push_back(names_.add(name));
  }

  Result<std::vector<Match>> matches() {
    std::vector<Match> found;
    const auto until = std::chrono::steady_clock::now() + kQueryTimeMax;
    std::size_t looked = 0;
    for (const RunIndex::Sweep* sweep : index_.sweeps()) {
      if (!asked_.sweep.empty() && sweep->name != asked_.sweep) continue;
      for (const RunIndex::Run& run : sweep->runs) {
        if (++looked % kRunsBetweenClockLooks == 0 && std::chrono::steady_clock::now() >= until)
          return fail(ErrorCode::kTooLarge, "search: it takes longer than {} s: name a sweep",
                      kQueryTimeMax.count());
        Match match{.run = &run, .sweep = sweep};
        STRATA_TRY(const bool holds, look_at(match));
        if (holds) found.push_back(std::move(match));
      }
    }
    if (asked_.query.order_by) {
      std::stable_sort(found.begin(), found.end(), [&](const Match& a, const Match& b) {
        return before(a.key, b.key, asked_.query.descending);
      });
    }
    return found;
  }

  // Ascending by their values.
  std::vector<Group> groups(const std::vector<Match>& found) {
    std::map<std::string, std::size_t> places;
    std::vector<Group> groups;
    for (const Match& match : found) {
      std::string place;
      for (const std::size_t name : by_) {
        const Value* value = names_.look(name, *match.run, *match.sweep);
        place += value == nullptr ? "null" : to_canonical_json(*value);
        place += '\n';  // in no canonical JSON
      }
      const auto [it, fresh] = places.try_emplace(std::move(place), groups.size());
      if (fresh) groups.push_back(group_of(match));
      add(groups[it->second], match);
    }
    std::stable_sort(groups.begin(), groups.end(), [](const Group& a, const Group& b) {
      return std::lexicographical_compare(
          a.keys.begin(), a.keys.end(), b.keys.begin(), b.keys.end(),
          [](const SortKey& x, const SortKey& y) { return before(x, y); });
    });
    return groups;
  }

  // What is shown of a run: its own, its cell, what the question names, and its scores.
  Value row(const Match& match) {
    Object scores;
    for (const auto& [name, value] : index_.scores_of(*match.run))
      scores.emplace(name, Object{{"value", *value}});
    Value parameters = Object{};
    for (std::size_t i = 0; i < names_.all().size(); ++i) {
      const RunIndex::Name& name = names_.all()[i];
      if (name.own != RunIndex::Name::Own::kNone || scores.contains(name.text)) continue;
      const Value* value = names_.look(i, *match.run, *match.sweep);
      if (value != nullptr) static_cast<void>(parameters.set(name.text, *value));
    }
    return Object{{"run", match.run->key},
                  {"sweep", match.sweep->name},
                  {"cell", match.run->cell},
                  {"seed", seed_value(match.run->seed)},
                  {"baseline", match.run->baseline},
                  {"orphan", match.run->generation < match.sweep->sealed_generation},
                  {"state", index_.state_of(*match.run)},
                  {"assignment", index_.assignment_of(*match.run)},
                  {"parameters", std::move(parameters)},
                  {"scores", std::move(scores)}};
  }

  // Names that no run has, of any sweep: typing errors, or scores that nobody has yet.
  Array unknown() {
    Array out;
    std::set<std::string> texts;
    for (std::size_t i = 0; i < names_.all().size(); ++i) {
      if (names_.all()[i].own == RunIndex::Name::Own::kNone && !anybody_has(i))
        texts.insert(names_.all()[i].text);
    }
    for (const std::string& text : texts) out.emplace_back(text);
    return out;
  }

 private:
  Result<bool> look_at(Match& match) {
    const Expression::Lookup lookup = [&](std::string_view name) {
      return names_.look(names_.add(name), *match.run, *match.sweep);
    };
    const auto named = [&](const Error& error) {
      return tl::unexpected(error.while_doing("run " + match.run->key.substr(0, 8)));
    };
    if (asked_.query.filter) {
      const auto holds = asked_.query.filter->holds(lookup);
      if (!holds) return named(holds.error());
      if (!*holds) return false;
    }
    if (asked_.query.order_by) {
      const auto value = asked_.query.order_by->evaluate(lookup);
      if (!value) return named(value.error());
      match.key = key_of(&*value);
    }
    return true;
  }

  Group group_of(const Match& match) {
    Group group;
    for (const std::size_t name : by_) {
      const Value* value = names_.look(name, *match.run, *match.sweep);
      group.values.push_back(value == nullptr ? Value() : *value);
      group.keys.push_back(key_of(value));
    }
    group.means.resize(mean_.size());
    return group;
  }

  void add(Group& group, const Match& match) {
    ++group.runs;
    for (std::size_t i = 0; i < mean_.size(); ++i) {
      const Value* value = names_.look(mean_[i], *match.run, *match.sweep);
      const auto number = value == nullptr ? std::nullopt : value->to_double();
      if (number && std::isfinite(*number)) group.means[i].add(*number);
    }
  }

  bool anybody_has(std::size_t name) {
    for (const RunIndex::Sweep* sweep : index_.sweeps()) {
      for (const RunIndex::Run& run : sweep->runs) {
        if (names_.look(name, run, *sweep) != nullptr) return true;
      }
    }
    return false;
  }

  const RunIndex& index_;
  const Asked& asked_;
  Names names_;
  std::vector<std::size_t> by_;
  std::vector<std::size_t> mean_;
};

Value groups_value(const std::vector<Group>& groups, const Asked& asked, std::size_t most) {
  Array out;
  for (const Group& group : groups) {
    if (out.size() >= most) break;
    Object by;
    for (std::size_t i = 0; i < asked.by.size(); ++i) by.emplace(asked.by[i], group.values[i]);
    Object values;
    for (std::size_t i = 0; i < asked.mean.size(); ++i)
      values.emplace(asked.mean[i], group.means[i].value());
    out.emplace_back(
        Object{{"by", std::move(by)}, {"runs", group.runs}, {"values", std::move(values)}});
  }
  return Value(std::move(out));
}

}  // namespace

Result<Value> QueryReader::search(const Value& body, const ServerFacts&) {
  STRATA_TRY(const Asked asked, read_question(body));
  if (!asked.sweep.empty() &&
      number("SELECT count(*) FROM sweep WHERE sweep = ?", asked.sweep) == 0)
    return fail(ErrorCode::kNotFound, "there is no sweep \"{}\"", asked.sweep);
  if (!index_.refresh(run_, kRowsMax))
    return fail(ErrorCode::kTooLarge,
                "the store has more than {} runs: `strata table` asks for "
                "those of one sweep",
                kRowsMax);
  Search search(index_, asked);
  STRATA_TRY(const std::vector<Match> found, search.matches());
  const auto most = static_cast<std::size_t>(asked.query.limit.value_or(kQueryLimitMax));
  Object answer{{"matched", static_cast<std::int64_t>(found.size())},
                {"unknown_names", search.unknown()}};
  if (!asked.by.empty() || !asked.mean.empty()) {
    answer.emplace("groups", groups_value(search.groups(found), asked, most));
    return Value(std::move(answer));
  }
  Array rows;
  std::map<std::string, Value> parameters;
  for (const Match& match : found) {
    if (rows.size() >= most) break;
    if (asked.whole) {
      rows.push_back(run_row(match.run->row));
      complete_run(rows.back(), {}, parameters);
    } else {
      rows.push_back(search.row(match));
    }
  }
  answer.emplace("runs", std::move(rows));
  return Value(std::move(answer));
}

}  // namespace strata::coordinator

// What `strata query` shows; the coordinator evaluates the filter (the verb `search`). Pure.
//
// A name is looked up, in this order, among: state, seed, cell, run, sweep, baseline, orphan; the
// parameters that the run's cell sets; all its parameters, by dotted name; its scores.
#pragma once

#include <string>
#include <vector>

#include "base/value.h"
#include "cli/render/colour.h"
#include "schema/expression.h"

namespace strata::cli {

// Null where the run has nothing of this name. The pointer lives as long as the run.
[[nodiscard]] const Value* run_lookup(const Value& run, std::string_view name);

// `names`: what the query mentions, shown as columns.
[[nodiscard]] std::string runs_as_text(const Array& runs, const std::vector<std::string>& names,
                                       const Palette& palette);
[[nodiscard]] std::vector<std::string> names_in(const Query& query);

// parse_query with the place of a mistake shown below the text.
[[nodiscard]] Result<Query> read_query(const std::string& text);
// Groups of runs as `search` answers: what they have in common, how many they are, means and
// spreads.
[[nodiscard]] std::string groups_as_text(const Array& groups, const std::vector<std::string>& by,
                                         const std::vector<std::string>& means,
                                         const Palette& palette);

}  // namespace strata::cli

// Filters over runs, evaluated here: `strata query`, `strata retry --where`. Pure.
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

// The runs for which it holds, ordered and cut as the query says; without `order by` in the order
// given. Runs that lack the value ordered by come last. An error names the run whose values do not
// fit the expression.
[[nodiscard]] Result<Array> run_query(const Query& query, const Array& runs);

// `names`: what the query mentions, shown as columns.
[[nodiscard]] std::string runs_as_text(const Array& runs, const std::vector<std::string>& names,
                                       const Palette& palette);
[[nodiscard]] std::vector<std::string> names_in(const Query& query);

// parse_query with the place of a mistake shown below the text.
[[nodiscard]] Result<Query> read_query(const std::string& text);
// Names of the query that none of the runs has: typing errors, or scores that nobody has yet.
[[nodiscard]] std::vector<std::string> unknown_names(const Query& query, const Array& runs);

}  // namespace strata::cli

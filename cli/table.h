// The ablation table of a sweep, computed from the coordinator's answers. Pure.
//
// What it promises: a mean is never taken over fewer seeds than planned without saying so in the
// cell; failed, diverged, missing and outdated seeds are named with their run; numbers of two judge
// versions, of two units or over different utterances are refused; nothing is set in bold on the
// strength of noise (spec: orchestration.md 5.7, I20).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/value.h"
#include "cli/table_claim.h"
#include "cli/table_statistics.h"

namespace strata::cli {

// The fallback for sweeps whose definition names no rule.
inline constexpr std::string_view kDoNotRankDefault = "wer >= 0.9";
// The row name that stands for no parameter but for the cell's label.
inline constexpr std::string_view kCellColumn = "cell";
inline constexpr std::string_view kNotIntelligible = "not intelligible: do not rank";

struct TableRequest {
  std::string sweep{};
  Value definition{};                            // docs/requests.md; null when unknown
  Array runs{};                                  // of the `runs` answer, with items
  std::map<std::string, std::string> reasons{};  // by task: why it failed or diverged
  std::vector<std::string> scores{};             // columns; empty: the definition's
  bool published = true;                         // show what the definition expects, too
  evaluator::BootstrapOptions bootstrap{};
};

struct TableColumn {
  std::string score{};
  std::string unit{};    // as shown: "%" for fractions
  double scale = 1;      // shown = scale * value
  std::string better{};  // "lower", "higher", "none"
  std::string judge{};
  int decimals = 3;    // of shown values
  bool ranked = true;  // false: not intelligible somewhere, nothing is set in bold
};

struct TableCell {
  std::size_t seeds_expected = 0;
  std::vector<Sample> samples{};  // what the mean is made of; without the items
  std::optional<Estimate> estimate{};
  std::optional<Difference> delta{};  // against the baseline cell
  bool compared = false;              // there is a baseline cell, and this is another one
  std::vector<Lack> lacks{};          // of one that is compared: why nothing is claimed
  bool best = false;                  // set in bold
  std::vector<std::size_t> notes{};   // indices into AblationTable::notes
};

// What a cell may say of itself beside the baseline.
enum class Verdict {
  kNotCompared,     // the baseline itself, or one of the two has no value
  kNothingClaimed,  // a condition is missing: TableCell::lacks
  kNotRanked,       // all hold, but the column is not intelligible somewhere
  kBetter,
  kWorse,
  kDiffers,  // of a score of which neither less nor more is better
};
[[nodiscard]] Verdict verdict_of(const TableColumn& column, const TableCell& cell);
// "better", "worse", "differs", or what is missing first: "one seed", "inside the noise". May be
// empty.
[[nodiscard]] std::string verdict_text(const TableColumn& column, const TableCell& cell);

struct TableRow {
  std::string cell{};         // label
  bool labelled = false;      // written by hand, or the parameters do not tell the row apart
  std::vector<Value> keys{};  // values of row_names
  bool baseline = false;
  bool intelligible = true;
  std::vector<TableCell> cells{};  // one for each column
};

struct ReferenceRow {
  std::string set{};  // "recordings"
  std::vector<std::optional<Estimate>> cells{};
  std::vector<std::vector<std::size_t>> notes{};
};

struct PublishedRow {
  std::size_t row = 0;                          // of AblationTable::rows
  std::vector<std::optional<double>> values{};  // one for each column, in the score's own unit
};

struct PublishedTable {  // table_published.h
  std::string source{};
  std::vector<PublishedRow> rows{};
  std::vector<std::size_t> columns{};  // those for which there is a number
  std::vector<int> decimals{};         // one for each of the table's columns, of shown values
};

struct AblationTable {
  std::string sweep{};
  std::string description{};
  std::vector<std::string> row_names{};    // dotted parameters
  std::vector<std::string> row_headers{};  // short: "text layer"
  std::vector<TableColumn> columns{};
  std::vector<TableRow> rows{};
  std::vector<ReferenceRow> references{};
  std::optional<PublishedTable> published{};
  std::vector<std::string> notes{};
  std::vector<std::uint64_t> seeds{};
  std::size_t orphans = 0;  // runs of older generations, left out
  std::string baseline{};   // label; empty: none
  std::string rule{};       // do_not_rank_when
  std::vector<std::string>
      judge_as_teacher{};  // families of models that are both here, allowed by name
  evaluator::BootstrapOptions bootstrap{};
  [[nodiscard]] bool has_unintelligible() const;
};

[[nodiscard]] Result<AblationTable> build_table(const TableRequest& request);

// Which items `strata table` must ask for: all columns and their references that the definition
// names.
[[nodiscard]] std::vector<std::string> scores_needed(const Value& definition, const Array& runs,
                                                     const std::vector<std::string>& chosen);

// "align.text.layer", "align.speech.layer" -> "text layer", "speech layer"; one name alone keeps
// its last two steps.
[[nodiscard]] std::vector<std::string> short_names(const std::vector<std::string>& dotted);
// A parameter's value in a row: nothing, false and layer 0 are "–".
[[nodiscard]] std::string row_key_text(const std::string& parameter, const Value& value);

}  // namespace strata::cli

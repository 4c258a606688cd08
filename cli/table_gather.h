// The first half of a table: the coordinator's runs sorted into cells and seeds, and every reason
// not to mix them. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/table.h"

namespace strata::cli {

struct RunView {
  std::string run{};
  std::string cell{};
  std::uint64_t seed = 0;
  bool baseline = false;
  std::string state{};
  bool outdated = false;         // any of its stages
  const Value* value = nullptr;  // borrowed from the request
};

struct CellView {
  std::string label{};
  bool baseline = false;
  std::vector<Value> keys{};
  std::vector<RunView> runs{};         // ascending seed
  std::vector<std::uint64_t> seeds{};  // planned
};

struct Gathered {
  std::vector<CellView> cells{};  // in the order of the axes
  std::vector<std::string> row_names{};
  std::vector<std::uint64_t> seeds{};
  std::size_t orphans = 0;
};

[[nodiscard]] Result<Gathered> gather(const TableRequest& request);

// Why a run has no value of a score that may be used, without naming the run.
struct WhyNot {
  std::string text{};
  bool out_of_sight = false;  // there is a value, but the run saw only a bound of it
};
// One run's score, or nothing where it has none that may be used.
[[nodiscard]] Result<std::optional<Sample>> sample_of(const RunView& run, const std::string& score,
                                                      WhyNot& why_not);
// Whether a score is no number of its own but the bound of one that was not seen.
[[nodiscard]] bool is_bound(const std::string& score);

// Unit, direction and judge that all samples of a score share; an error names the two runs that do
// not.
class Agreement {
 public:
  explicit Agreement(std::string score) : score_(std::move(score)) {}
  [[nodiscard]] Status add(const RunView& run, const Value& score, const Sample& sample);
  [[nodiscard]] bool any() const { return !run_.empty(); }
  [[nodiscard]] const std::string& unit() const { return unit_; }
  [[nodiscard]] const std::string& better() const { return better_; }
  [[nodiscard]] const std::string& judge() const { return judge_; }

 private:
  [[nodiscard]] Error mixed(const RunView& run, std::string_view what, std::string_view here,
                            std::string_view there) const;

  std::string score_;
  std::string run_;  // the first one, named in errors
  std::string cell_;
  std::string unit_;
  std::string better_;
  std::string judge_;
  std::vector<std::string> items_;
};

}  // namespace strata::cli

// The commands. Each asks, computes with the pure parts and prints; the result is the exit code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/plan_report.h"

namespace strata::cli {

struct SubmitOptions {
  std::string file{};
  std::string if_plan{};
  bool wait = false;
  bool unfrozen = false;  // run the code from where it lies
};
Result<int> run_plan(Context& context, const std::string& file, const PlanOptions& options);
Result<int> run_submit(Context& context, const SubmitOptions& options);
Result<int> run_watch(Context& context, const std::string& sweep, bool once);

// Names of the sweep's stages, producers first; empty where they are not known: the order is a
// nicety.
[[nodiscard]] std::vector<std::string> stages_of(Context& context, const std::string& sweep);

Result<int> run_list(Context& context);
Result<int> run_status(Context& context);
Result<int> run_show(Context& context, const std::string& prefix);
Result<int> run_explain(Context& context, const std::string& prefix);
Result<int> run_workers(Context& context);
Result<int> run_drain(Context& context, const std::string& worker);
Result<int> run_release(Context& context, const std::string& worker);
Result<int> run_cancel(Context& context, const std::string& sweep);
Result<int> run_retry(Context& context, const std::string& target, const std::string& where);
Result<int> run_logs(Context& context, const std::string& prefix, bool follow);

struct TableOptions {
  std::string sweep{};
  std::string format = "text";
  std::vector<std::string> scores{};
  int resamples = 10'000;
  bool no_published = false;  // leave out the numbers that the sweep's file expects
};
struct PlotOptions {
  std::string sweep{};
  std::string x{};
  std::string y{};
  std::string out{};             // .svg or .png; empty: SWEEP-Y.svg
  std::optional<double> line{};  // a level to read the curves against
};
struct TraceOptions {
  std::string sweep{};
  std::string cell{};
  std::string score{};
  std::string item{};
};
// `folder` is made; `address_file` as for connect().
Result<int> run_backup(Context& context, const std::string& address_file,
                       const std::string& folder);

struct QueryOptions {
  std::string text{};  // empty: all runs
  // Not empty: runs are counted and averaged in groups instead of shown.
  std::vector<std::string> by{};
  std::vector<std::string> mean{};
};
Result<int> run_query_command(Context& context, const QueryOptions& options);
Result<int> run_table(Context& context, const TableOptions& options);
Result<int> run_plot(Context& context, const PlotOptions& options);
Result<int> run_trace(Context& context, const TraceOptions& options);

struct PolicyOptions {
  std::string action{};  // test, list
  std::string file{};    // a log
  std::string sweep{};   // a file, and one of its stages, whose rules go first
  std::string stage{};
};
// 0: a rule takes a line, 1: none does.
Result<int> run_policy(Context& context, const PolicyOptions& options);

}  // namespace strata::cli

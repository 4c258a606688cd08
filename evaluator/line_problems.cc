#include "evaluator/line_problems.h"

#include <algorithm>

namespace strata::evaluator {

std::string LineProblems::place(std::size_t line) const {
  return fmt::format("{}:{}", name_, line);
}

Status LineProblems::status() const {
  if (all_.empty()) return {};
  if (all_.size() == 1) return tl::unexpected(all_.front().error);
  auto sorted = all_;
  std::ranges::stable_sort(sorted, {}, &Problem::line);
  const ErrorCode first = sorted.front().error.code;
  const bool of_one_kind =
      std::ranges::all_of(sorted, [&](const Problem& p) { return p.error.code == first; });
  const std::size_t shown = std::min(sorted.size(), kLineProblemsShown);
  std::string text = fmt::format("{}: {} problems", name_, sorted.size());
  text += shown < sorted.size() ? fmt::format(", the first {} of them:", shown) : ":";
  for (std::size_t i = 0; i < shown; ++i) text += "\n  " + sorted[i].error.message;
  return tl::unexpected(Error{of_one_kind ? first : ErrorCode::kInvalid, std::move(text)});
}

}  // namespace strata::evaluator

#include "schema/ablation.h"

#include <array>
#include <utility>

namespace strata {
namespace {

constexpr std::array<std::pair<std::string_view, AblationShape>, 5> kWords{{
    {"baseline", AblationShape::kBaseline},
    {"add_one", AblationShape::kAddOne},
    {"pairs", AblationShape::kPairs},
    {"leave_one_out", AblationShape::kLeaveOneOut},
    {"all", AblationShape::kAll},
}};

// Which components are on, as lists of indices below `count`.
std::vector<std::vector<std::size_t>> selections(AblationShape shape, std::size_t count) {
  std::vector<std::vector<std::size_t>> out;
  switch (shape) {
    case AblationShape::kBaseline: return {{}};
    case AblationShape::kAddOne:
      for (std::size_t i = 0; i < count; ++i) out.push_back({i});
      return out;
    case AblationShape::kPairs:
      for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = i + 1; j < count; ++j) out.push_back({i, j});
      }
      return out;
    case AblationShape::kLeaveOneOut:
      for (std::size_t without = 0; without < count; ++without) {
        out.emplace_back();
        for (std::size_t i = 0; i < count; ++i) {
          if (i != without) out.back().push_back(i);
        }
      }
      return out;
    case AblationShape::kAll:
      out.emplace_back();
      for (std::size_t i = 0; i < count; ++i) out.back().push_back(i);
      return out;
  }
  return out;
}

}  // namespace

std::optional<AblationShape> ablation_shape(std::string_view word) {
  for (const auto& [name, shape] : kWords) {
    if (name == word) return shape;
  }
  return std::nullopt;
}

std::string ablation_words() {
  std::string words;
  for (const auto& [name, shape] : kWords) words += (words.empty() ? "" : ", ") + std::string(name);
  return words;
}

std::vector<Case> cases_of(const Settings& baseline, const std::vector<Component>& components,
                           const std::vector<AblationShape>& shapes) {
  std::vector<Case> cases;
  for (const AblationShape shape : shapes) {
    for (const auto& on : selections(shape, components.size())) {
      Case cell{.set = baseline};
      for (const std::size_t i : on)
        cell.set.insert(cell.set.end(), components[i].set.begin(), components[i].set.end());
      cases.push_back(std::move(cell));
    }
  }
  return cases;
}

}  // namespace strata

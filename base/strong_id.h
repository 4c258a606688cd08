// A number that names something has its own type: a RunId is no WorkerId, and neither is an int.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace strata {

template <class Tag>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(std::uint64_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint64_t value() const { return value_; }
  constexpr auto operator<=>(const StrongId&) const = default;

 private:
  std::uint64_t value_ = 0;  // 0 names nothing
};

}  // namespace strata

template <class Tag>
struct std::hash<strata::StrongId<Tag>> {
  std::size_t operator()(strata::StrongId<Tag> id) const noexcept {
    return std::hash<std::uint64_t>{}(id.value());
  }
};

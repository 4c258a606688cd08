// A set as a sorted vector: for a few values each of very many, where a tree's nodes would be most
// of what is kept.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace strata::coordinator {

template <class T>
class FlatSet {
 public:
  FlatSet() = default;

  [[nodiscard]] auto begin() const { return values_.begin(); }
  [[nodiscard]] auto end() const { return values_.end(); }
  [[nodiscard]] bool empty() const { return values_.empty(); }
  [[nodiscard]] std::size_t size() const { return values_.size(); }
  [[nodiscard]] bool contains(const T& value) const {
    return std::binary_search(values_.begin(), values_.end(), value);
  }
  void insert(T value) {
    const auto it = std::lower_bound(values_.begin(), values_.end(), value);
    if (it != values_.end() && *it == value) return;
    values_.insert(it, std::move(value));
  }
  void erase(const T& value) {
    const auto it = std::lower_bound(values_.begin(), values_.end(), value);
    if (it != values_.end() && *it == value) values_.erase(it);
  }
  friend bool operator==(const FlatSet&, const FlatSet&) = default;

 private:
  std::vector<T> values_;
};

}  // namespace strata::coordinator

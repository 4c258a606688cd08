// Values by task key, found in one look. It cannot be walked through, so no decision depends on the
// order of a hash table: the one home of such a table in a pure room.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "schema/ids.h"

namespace strata::coordinator {

template <class V>
class KeyIndex {
 public:
  // Null: there is none.
  [[nodiscard]] const V* find(const TaskKey& key) const {
    const auto it = values_.find(key);
    return it == values_.end() ? nullptr : &it->second;
  }
  // The value of that key; made where there is none.
  [[nodiscard]] V& at(const TaskKey& key) { return values_[key]; }
  void set(const TaskKey& key, V value) { values_.insert_or_assign(key, value); }
  void erase(const TaskKey& key) { values_.erase(key); }
  [[nodiscard]] std::size_t size() const { return values_.size(); }

 private:
  struct Hash {
    std::size_t operator()(const TaskKey& key) const { return hash_of(key); }
  };
  std::unordered_map<TaskKey, V, Hash> values_;
};

}  // namespace strata::coordinator

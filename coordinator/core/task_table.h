// All tasks: in the order of their keys for those who walk through them, and found by key in one
// look for those who know it. A walk down the tree of 100,000 tasks is seventeen cache misses; that
// was a fifth of all that a dispatched task cost.
#pragma once

#include <cstddef>
#include <map>
#include <unordered_set>
#include <utility>

#include "base/assert.h"
#include "schema/ids.h"

namespace strata::coordinator {

template <class T>
class TaskTable {
 public:
  using Map = std::map<TaskKey, T>;

  TaskTable() = default;
  TaskTable(const TaskTable& other) : tasks_(other.tasks_) {
    for (auto& entry : tasks_) index_.insert(&entry);
  }
  TaskTable(TaskTable&&) noexcept = default;  // the nodes stay where they are
  TaskTable& operator=(TaskTable other) noexcept {
    tasks_ = std::move(other.tasks_);
    index_ = std::move(other.index_);
    return *this;
  }
  ~TaskTable() = default;

  [[nodiscard]] const Map& in_order() const { return tasks_; }
  [[nodiscard]] Map& in_order() { return tasks_; }

  // Null: there is none.
  [[nodiscard]] T* find(const TaskKey& key) {
    const auto it = index_.find(key);
    return it == index_.end() ? nullptr : &(*it)->second;
  }
  [[nodiscard]] const T* find(const TaskKey& key) const {
    const auto it = index_.find(key);
    return it == index_.end() ? nullptr : &(*it)->second;
  }
  // REQUIRES: it is there.
  [[nodiscard]] T& at(const TaskKey& key) {
    T* found = find(key);
    STRATA_ASSERT(found != nullptr);
    return *found;
  }
  [[nodiscard]] const T& at(const TaskKey& key) const {
    const T* found = find(key);
    STRATA_ASSERT(found != nullptr);
    return *found;
  }
  // The task of that key, and whether it was made now.
  std::pair<T&, bool> make(const TaskKey& key) {
    const auto [it, made] = tasks_.try_emplace(key);
    if (made) index_.insert(&*it);
    return {it->second, made};
  }
  void erase(const TaskKey& key) {
    const auto it = index_.find(key);
    if (it == index_.end()) return;
    index_.erase(it);
    tasks_.erase(key);
  }

 private:
  using Entry = typename Map::value_type;
  struct ByKey {
    using is_transparent = void;
    std::size_t operator()(const Entry* entry) const { return hash_of(entry->first); }
    std::size_t operator()(const TaskKey& key) const { return hash_of(key); }
    bool operator()(const Entry* a, const Entry* b) const { return a == b; }
    bool operator()(const TaskKey& key, const Entry* entry) const { return key == entry->first; }
    bool operator()(const Entry* entry, const TaskKey& key) const { return key == entry->first; }
  };
  Map tasks_;
  std::unordered_set<Entry*, ByKey, ByKey> index_;  // never walked through
};

}  // namespace strata::coordinator

// All tasks: in the order of their keys for those who walk through them, and found by key in one
// look for those who know it. A walk down the tree of 100,000 tasks is seventeen cache misses; that
// was a fifth of all that a dispatched task cost.
#pragma once

#include <map>
#include <utility>

#include "base/assert.h"
#include "coordinator/core/key_index.h"

namespace strata::coordinator {

template <class T>
class TaskTable {
 public:
  using Map = std::map<TaskKey, T>;

  TaskTable() = default;
  TaskTable(const TaskTable& other) : tasks_(other.tasks_) {
    for (auto& [key, task] : tasks_) index_.set(key, &task);
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
    T* const* found = index_.find(key);
    return found == nullptr ? nullptr : *found;
  }
  [[nodiscard]] const T* find(const TaskKey& key) const {
    T* const* found = index_.find(key);
    return found == nullptr ? nullptr : *found;
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
    if (T* found = find(key)) return {*found, false};
    T& task = tasks_[key];
    index_.set(key, &task);
    return {task, true};
  }
  void erase(const TaskKey& key) {
    index_.erase(key);
    tasks_.erase(key);
  }

 private:
  Map tasks_;
  KeyIndex<T*> index_;
};

}  // namespace strata::coordinator

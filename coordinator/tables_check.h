// Compares the derived tables with the log, from a thread of its own and with the least claim to
// the machine: once when they have come to what was committed before the start, and then every
// kTablesCheckEvery. A row that changed on the disk without breaking a structure is found here, and
// all tables are made again. What was answered before may have been wrong; nothing is ever decided
// from them.
//
// Thread rule: one thread; it ends soon when this is destroyed.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "coordinator/projector.h"

namespace strata::coordinator {

inline constexpr std::chrono::hours kTablesCheckEvery{24};

class TablesCheck {
 public:
  // `differ` is called from the thread with what differs. `tables` outlive this.
  TablesCheck(std::filesystem::path events_file, const Projector& tables, std::uint64_t committed,
              std::function<void(const std::string&)> differ);
  ~TablesCheck();
  TablesCheck(const TablesCheck&) = delete;
  TablesCheck& operator=(const TablesCheck&) = delete;

 private:
  void work();
  void check();

  std::filesystem::path events_file_;
  const Projector& tables_;
  std::uint64_t committed_;
  std::function<void(const std::string&)> differ_;
  std::atomic<bool> ending_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace strata::coordinator

#include "coordinator/tables_check.h"

#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "coordinator/fsck.h"

namespace strata::coordinator {
namespace {

constexpr int kLeastClaim = 19;  // nice(1)
constexpr std::chrono::milliseconds kLookAtEnding{100};

}  // namespace

TablesCheck::TablesCheck(std::filesystem::path events_file, const Projector& tables,
                         std::uint64_t committed, std::function<void(const std::string&)> differ)
    : events_file_(std::move(events_file)),
      tables_(tables),
      committed_(committed),
      differ_(std::move(differ)),
      thread_([this] { work(); }) {}

TablesCheck::~TablesCheck() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void TablesCheck::work() {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kLeastClaim);  // of this thread alone
  while (!ending_ && !tables_.wait(committed_, kLookAtEnding)) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kLookAtEnding, [&] { return ending_.load(); });
  }
  while (!ending_) {
    check();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kTablesCheckEvery, [&] { return ending_.load(); });
  }
}

void TablesCheck::check() {
  const std::filesystem::path scratch = events_file_.parent_path() / "comparing";
  std::error_code ignored;
  std::filesystem::remove_all(scratch, ignored);
  const auto differences = compare_tables(events_file_, scratch, ending_);
  std::filesystem::remove_all(scratch, ignored);
  if (ending_) return;
  if (!differences) {
    return log_warning("coordinator", "the derived tables were not compared with the log: {}",
                       differences.error().message);
  }
  if (differences->empty()) return;
  const TableDifference& first = differences->front();
  differ_(fmt::format("{} tables differ from what the log gives, table {} in {} rows ({})",
                      differences->size(), first.table, first.rows,
                      first.shown.empty() ? "" : first.shown.front()));
}

}  // namespace strata::coordinator

// Keeps a mirror (mirror_folder.h) up to date from a thread of its own, with database connections
// of its own: the control loop never waits for the folder, however slow or absent that is. What is
// committed between two passes dies with the store's disk.
//
// A pass that fails leaves the mirror as it was; it is tried again after the same interval, and
// said once in the log. When another coordinator has taken the mirror up, this one must end: it
// does not have the newest events.
//
// Thread rule: status() from any thread, the rest from the one that opened it.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/clock.h"
#include "coordinator/mirror_folder.h"

namespace strata::coordinator {

inline constexpr std::chrono::milliseconds kMirrorEvery{30'000};

struct MirrorOptions {
  std::filesystem::path folder{};
  std::chrono::milliseconds every = kMirrorEvery;
};

struct MirroredStore {
  std::filesystem::path events_file{};
  std::filesystem::path metrics_file{};
  std::filesystem::path keys_file{};
  std::string coordinator{};  // the store's name
};

struct MirrorStatus {
  double lag_seconds = 0;  // everything committed longer ago is in the mirror
  double every_seconds = 0;
  double pass_seconds = 0;  // the last one that succeeded
  std::uint64_t last_seq = 0;
  std::uint64_t failures = 0;
  std::string failing{};  // why the last pass failed; empty: it did not
};

// The store goes on without it: whoever restores it is told that something may be missing.
// kConflict when somebody else has gone on from this mirror, or still keeps it: two coordinators of
// one store would give the same numbers to different attempts. An error also when there is no
// mirror to be seen (a mount that is missing). The mirror of another store is left as it is.
[[nodiscard]] Status leave_mirror(const MirrorFolder& folder, const MirroredStore& store);

class Mirror {
 public:
  // Takes the mirror up, or makes it. kConflict when another coordinator keeps it, when it is of
  // another store, or when it holds events that this store does not: then the store is older.
  static Result<std::unique_ptr<Mirror>> open(MirrorOptions options, MirroredStore store);
  ~Mirror();  // without a last pass
  Mirror(const Mirror&) = delete;
  Mirror& operator=(const Mirror&) = delete;

  // The passes begin. `taken_over` is called at most once, from the mirror's thread.
  void begin(std::function<void()> taken_over);
  // One more pass, and the mirror is marked as whole: whoever restores it loses nothing.
  [[nodiscard]] Status finish();
  [[nodiscard]] MirrorStatus status() const;

 private:
  Mirror(MirrorOptions options, MirroredStore store, MirrorState state);
  void work(const std::function<void()>& taken_over);
  void end_thread();
  Status pass(bool last);
  Status read_known_points();
  Status add_events(MirrorState& state);
  Status add_points(MirrorState& state);
  [[nodiscard]] MirrorSegment& our_segment(MirrorState& state) const;
  void note(const Status& passed, Instant began);

  MirrorOptions options_;
  MirroredStore store_;
  MirrorFolder folder_;
  SystemClock clock_{};
  MirrorState state_;  // as it is in the folder
  // The newest sequence there of each series (task, attempt); nothing before the first pass.
  std::optional<std::map<std::pair<std::string, std::int64_t>, std::int64_t>> points_{};
  bool taken_over_ = false;
  std::string failing_;  // the last pass's error, said once

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  MirrorStatus figures_{};  // guarded, as what follows
  Instant mirrored_{};      // all that was committed before is there
  bool ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace strata::coordinator

// Writes the derived tables, in a file of their own and on a thread of its own, so that no commit
// of the event log waits for them. They say up to which event they go; who asks them something
// waits until they have come to what was committed before the question (wait()). The file is synced
// now and then only (synchronous=NORMAL): what a power cut takes from it is written again from the
// log.
//
// What waits is bounded by kProjectedEventsMax and kProjectedBytesMax: has_room() says when the
// control loop should step nothing more, and push() waits. A write that fails for now (a full disk)
// is tried again every kTablesRetry, and said once in the log.
//
// Thread rule: push() and has_room() are for the thread that commits; the rest for any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/store_tip.h"
#include "coordinator/task_rows.h"

namespace strata::coordinator {

inline constexpr std::size_t kProjectedEventsMax = 65'536;          // that wait to be written
inline constexpr std::size_t kProjectedBytesMax = 256U << 20U;      // of their frames
inline constexpr std::size_t kProjectedAtOnceMax = 32'768;          // in one transaction
inline constexpr std::chrono::milliseconds kTablesRetry{1'000};     // after a write that failed
inline constexpr std::chrono::milliseconds kTablesWaitMax{10'000};  // of one question

// The file of the tables beside a log: "tables.sqlite" beside "events.sqlite".
[[nodiscard]] std::filesystem::path tables_file(const std::filesystem::path& events_file);

struct Projection {  // what one commit changed
  Tip end{};         // its newest event
  std::shared_ptr<const std::vector<Event>> events{};
  std::vector<TaskRow> rows{};
  std::size_t bytes = 0;  // about, of the events
};

struct StoredEvent;

class Projector {
 public:
  // Opens the tables beside the log, makes them where there are none or where they are damaged, and
  // begins to bring them up to `end`, the log's newest event. Damaged ones are put aside
  // ("tables.sqlite-aside") until those that take their place hold a whole log. REQUIRES: the log
  // is migrated.
  static Result<std::unique_ptr<Projector>> open(const std::filesystem::path& events_file, Tip end);
  ~Projector();  // what waits is written first
  Projector(const Projector&) = delete;
  Projector& operator=(const Projector&) = delete;

  [[nodiscard]] bool has_room() const;
  void push(Projection projection);
  [[nodiscard]] std::uint64_t reached() const;
  // Until the tables hold the event `seq`; an error says why they do not. While they cannot be
  // written, it says so at once.
  [[nodiscard]] Status wait(std::uint64_t seq, std::chrono::milliseconds most) const;
  // Why the last try to write failed, until one succeeds (a full disk); empty: it did not.
  [[nodiscard]] std::string failing() const;
  // They differ from what the log gives: they are made again, unless they were in this life.
  void make_anew(const std::string& why);
  // At most so many pages of 4 KiB from the next try on, and events that wait; 0: as ever. For
  // tests of a full disk.
  void limit(std::int64_t pages, std::size_t events);

 private:
  struct State;
  Projector(std::filesystem::path events_file, std::unique_ptr<State> state);
  void work(Tip end);
  [[nodiscard]] Status catch_up(Tip end);
  [[nodiscard]] Result<std::optional<Tip>> where_to_begin(Tip end);
  [[nodiscard]] Status made_anew(Tip end, const Error& why);
  [[nodiscard]] Status read_log(const std::function<Status(const StoredEvent&)>& visit);
  [[nodiscard]] Status of_log(Status read);
  [[nodiscard]] Status write(const std::vector<Projection>& batch);
  void set_reached(std::uint64_t seq);
  [[nodiscard]] bool is_ending() const;
  [[nodiscard]] Status until_done(const std::function<Status()>& doing);
  void note(const Status& tried);
  bool wait_to_retry();
  [[nodiscard]] bool is_full() const;  // guarded

  std::filesystem::path events_file_;
  std::unique_ptr<State> state_;  // of the thread, as the next three
  bool log_is_damaged_ = false;
  bool made_anew_ = false;  // once in a life
  bool from_zero_ = false;  // whatever they say about themselves
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::deque<Projection> waiting_;  // guarded, as all below
  std::size_t events_waiting_ = 0;  // with those that are being written
  std::size_t bytes_waiting_ = 0;
  std::uint64_t reached_ = 0;
  std::size_t most_waiting_ = kProjectedEventsMax;
  std::optional<std::int64_t> pages_{};  // to be limited to before the next try
  std::string differ_{};                 // why they are to be made anew
  std::string failing_{};                // why the last try failed
  std::string stopped_{};                // why no more is written
  bool ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace strata::coordinator

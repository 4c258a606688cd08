// The event log in SQLite: one writer, one transaction and one row a commit; the derived tables
// follow in a file of their own (projector.h). After commit() returns, its events survive kill -9
// and a power cut; before, nothing of them is there.
//
// Every event is chained to the one before it by a checksum, so a lost, changed or exchanged row is
// found by replay(); a lost end by the file "-tip" beside it (store_tip.h). Thread rule: one
// thread. Readers use connections of their own (query.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/cluster.h"
#include "coordinator/core/log_chain.h"
#include "coordinator/projector.h"

namespace strata::coordinator {

inline constexpr std::int64_t kReplayChunkEvents = 1'000;  // held in memory at once
inline constexpr std::int64_t kDamagedTasksMax = 1'000;    // named in a report

struct Damage {
  std::uint64_t seq = 0;  // the first event that cannot be believed
  std::string what{};
  std::vector<std::string>
      tasks{};  // keys that it or later events name, as far as they can be read
};

struct Replayed {
  Cluster cluster{};  // of all events before the damage
  std::uint64_t events = 0;
  std::optional<Damage> damage{};
};

class EventStore {
 public:
  // Makes the file, or migrates it. A new store is called `name`, or something random; kDamaged
  // where the name of an old one is gone or changed (store_name.h). REQUIRES: the store folder's
  // lock is held.
  static Result<EventStore> open(const std::filesystem::path& file, const std::string& name = "");
  // The same in two steps. Between them the derived tables are checked and opened on another
  // thread, which takes as long as a replay does, and only replay() may be called.
  static Result<EventStore> begin_opening(const std::filesystem::path& file,
                                          const std::string& name = "");
  [[nodiscard]] Status finish_opening();
  ~EventStore();
  EventStore(EventStore&&) noexcept;
  EventStore& operator=(EventStore&&) noexcept;

  // The store's random name, made with it.
  [[nodiscard]] const std::string& coordinator_id() const;
  [[nodiscard]] std::uint64_t last_seq() const;

  // All or nothing. An error leaves the store as it was: call again with the same arguments.
  // `cluster` is the state after `events`; `touched` comes from Core::take_touched(). The derived
  // tables follow by themselves; where they are far behind, this waits for them.
  using Events = std::shared_ptr<const std::vector<Event>>;
  [[nodiscard]] Status commit(Events events, const Touched& touched, const Cluster& cluster);
  [[nodiscard]] Status commit(std::span<const Event> events, const Touched& touched,
                              const Cluster& cluster);

  // The same, where the frames are there already: those of another store, byte for byte.
  [[nodiscard]] Status commit_frames(std::span<const std::string> frames, Events events,
                                     const Touched& touched, const Cluster& cluster);

  // What follows this log.
  [[nodiscard]] const Projector& tables() const;

  // Reads the whole log, and shows each believed event to `observer`. An error only when the file
  // cannot be read at all; damage is part of the answer.
  [[nodiscard]] Result<Replayed> replay(
      const std::function<void(const Event&)>& observer = {}) const;

  // At most this many pages of 4 KiB; 0 takes the limit away. For tests of a full disk.
  [[nodiscard]] Status limit_pages(std::int64_t pages);
  // Any thread; see Projector.
  void make_tables_anew(const std::string& why);
  void limit_tables(std::int64_t pages, std::size_t events);

 private:
  struct State;
  explicit EventStore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct StoredEvent {
  std::uint64_t seq = 0;
  std::uint32_t chain = 0;
  std::string_view frame{};
  const Event& event;
};

// Calls `visit` with every event in order, checking the chain; returns the damage at which it had
// to stop, if any. `visit` returns kDamaged for an event that cannot follow; another error of its
// own ends the reading and is returned. The file may be damaged in any way: else an error only when
// nothing of it can be read.
using VisitEvent = std::function<Status(const StoredEvent& stored)>;
[[nodiscard]] Result<std::optional<Damage>> read_events(const std::filesystem::path& file,
                                                        const VisitEvent& visit);

}  // namespace strata::coordinator

#include "coordinator/log_copy.h"

#include "base/clock.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

constexpr std::size_t kEventsPerCommit = 2'000;

}  // namespace

Event store_restored(const Cluster& cluster) {
  return {.at = SystemClock().wall(),
          .body = StoreRestored{.attempts_above = cluster.newest_attempt() + kAttemptsSkipped}};
}

Result<LogCopy> LogCopy::open(const std::filesystem::path& file, const std::string& coordinator) {
  STRATA_TRY(EventStore store, EventStore::open(file, coordinator));
  return LogCopy(std::move(store));
}

Status LogCopy::add(std::uint64_t seq, std::uint32_t chain, std::string_view frame) {
  if (seq != last_ + 1) return fail(ErrorCode::kDamaged, "event {} is missing", last_ + 1);
  if (chain != chained(chain_, seq, frame))
    return fail(ErrorCode::kDamaged, "event {} does not fit the checksum chain", seq);
  STRATA_TRY(Event event, decode_event(frame));
  STRATA_CHECK_OK(cluster_.apply_checked(event));
  events_.push_back(std::move(event));
  frames_.emplace_back(frame);
  last_ = seq;
  chain_ = chain;
  return events_.size() < kEventsPerCommit ? Status() : write();
}

Status LogCopy::write() {
  if (events_.empty()) return {};
  const auto events = std::make_shared<const std::vector<Event>>(std::move(events_));
  events_ = {};
  STRATA_CHECK_OK(store_.commit_frames(frames_, events, cluster_.take_touched(), cluster_));
  frames_.clear();
  return {};
}

Status LogCopy::skip_attempts() {
  STRATA_CHECK_OK(write());
  const std::vector<Event> restored{store_restored(cluster_)};
  STRATA_CHECK_OK(cluster_.apply_checked(restored[0]));
  ++last_;
  return store_.commit(restored, cluster_.take_touched(), cluster_);
}

}  // namespace strata::coordinator

#include "coordinator/mirror.h"

#include <sys/stat.h>

#include "base/log.h"
#include "coordinator/event_log.h"
#include "coordinator/sqlite.h"

namespace strata::coordinator {
namespace {

// The chain of an event, if the store has it.
Result<std::optional<std::uint32_t>> chain_of(const std::filesystem::path& events_file,
                                              std::uint64_t seq) {
  STRATA_TRY(const auto database, open_reader(events_file));
  return from_sqlite("looking for an event",
                     [&]() -> std::optional<std::uint32_t> { return chain_at(*database, seq); });
}

Status check_follows(const MirrorFolder& folder, const MirrorState& state,
                     const MirroredStore& store) {
  STRATA_CHECK_OK(folder.refuse_while_kept(state));
  if (state.coordinator != store.coordinator) {
    return fail(ErrorCode::kConflict,
                "{} is the mirror of another store ({}, this one is {}): name another folder",
                folder.path().string(), state.coordinator, store.coordinator);
  }
  if (state.last_seq == 0) return {};
  STRATA_TRY(const auto chain, chain_of(store.events_file, state.last_seq));
  if (chain == state.chain) return {};
  return fail(ErrorCode::kConflict,
              "the mirror {} holds events up to {}, written by {}, which {} does not have: it is "
              "the older one. Go on from the mirror with --restore",
              folder.path().string(), state.last_seq, state.keeper.text(),
              store.events_file.string());
}

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

Result<std::unique_ptr<Mirror>> Mirror::open(MirrorOptions options, MirroredStore store) {
  STRATA_CHECK_OK(make_folder(options.folder));
  options.folder = std::filesystem::absolute(options.folder);
  chmod(options.folder.c_str(), 0700);  // as far as the file system knows modes
  const MirrorFolder folder(options.folder);
  STRATA_TRY(const auto found, folder.state());
  if (found) {
    STRATA_CHECK_OK(check_follows(folder, *found, store));
    STRATA_CHECK_OK(folder.check_files(*found));
  }
  MirrorState state = found.value_or(MirrorState{.coordinator = store.coordinator});
  STRATA_TRY(state.life, folder.claim_life(state.life));
  state.keeper = this_process();
  state.clean = false;
  state.every_ms = options.every.count();
  state.written_ms = SystemClock().wall().unix_ms;
  STRATA_TRY(const std::string keys, read_file(store.keys_file));
  STRATA_CHECK_OK(write_file_atomic(folder.keys_file(), keys, 0600));
  STRATA_CHECK_OK(folder.set_state(state));
  return std::unique_ptr<Mirror>(
      new Mirror(std::move(options), std::move(store), std::move(state)));
}

Status leave_mirror(const MirrorFolder& folder, const MirroredStore& store) {
  STRATA_TRY(const auto found, folder.state());
  if (!found) return fail(ErrorCode::kNotFound, "there is no mirror in {}", folder.path().string());
  if (found->coordinator != store.coordinator) return {};
  STRATA_CHECK_OK(check_follows(folder, *found, store));
  if (!found->clean) return {};
  MirrorState left = *found;
  left.clean = false;
  left.keeper = {};
  return folder.set_state(left);
}

Mirror::Mirror(MirrorOptions options, MirroredStore store, MirrorState state)
    : options_(std::move(options)),
      store_(std::move(store)),
      folder_(options_.folder),
      state_(std::move(state)),
      mirrored_(clock_.now()) {
  figures_.every_seconds = seconds(options_.every);
  figures_.last_seq = state_.last_seq;
}

Mirror::~Mirror() { end_thread(); }

void Mirror::begin(std::function<void()> taken_over) {
  thread_ = std::thread([this, call = std::move(taken_over)] { work(call); });
}

void Mirror::end_thread() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Mirror::work(const std::function<void()>& taken_over) {
  std::unique_lock lock(mutex_);
  while (!ending_ && !taken_over_) {
    lock.unlock();
    const Instant began = clock_.now();
    note(pass(false), began);
    if (taken_over_) taken_over();
    lock.lock();
    changed_.wait_for(lock, options_.every, [this] { return ending_; });
  }
}

Status Mirror::finish() {
  end_thread();
  if (taken_over_) return fail(ErrorCode::kConflict, "{}", failing_);
  const Instant began = clock_.now();
  Status passed = pass(true);
  note(passed, began);
  return passed;
}

MirrorStatus Mirror::status() const {
  const std::lock_guard lock(mutex_);
  MirrorStatus status = figures_;
  status.lag_seconds = seconds(clock_.now() - mirrored_);
  return status;
}

void Mirror::note(const Status& passed, Instant began) {
  const std::string failing = passed ? std::string() : passed.error().message;
  if (!failing.empty() && failing != failing_) {
    log_error("coordinator",
              "the mirror {} stays as it was at event {}: {}; tried again every {} s",
              options_.folder.string(), state_.last_seq, failing, seconds(options_.every));
  } else if (failing.empty() && !failing_.empty()) {
    log_info("coordinator", "the mirror {} follows again, up to event {}", options_.folder.string(),
             state_.last_seq);
  }
  failing_ = failing;
  const std::lock_guard lock(mutex_);
  figures_.failing = failing;
  if (!passed) {
    ++figures_.failures;
    return;
  }
  mirrored_ = began;
  figures_.pass_seconds = seconds(clock_.now() - began);
  figures_.last_seq = state_.last_seq;
}

MirrorSegment& Mirror::our_segment(MirrorState& state) const {
  if (state.segments.empty() || state.segments.back().life != state.life)
    state.segments.push_back({.life = state.life});
  return state.segments.back();
}

Status Mirror::pass(bool last) {
  STRATA_TRY(const auto found, folder_.state());
  if (!found) {
    return fail(ErrorCode::kNotFound,
                "it has vanished; is the folder mounted? If it was removed on purpose, restart "
                "the coordinator, which makes it anew");
  }
  if (found->life > state_.life) {
    taken_over_ = true;
    return fail(ErrorCode::kConflict, "it was taken up by another coordinator, {}",
                found->keeper.text());
  }
  if (!points_) STRATA_CHECK_OK(read_known_points());
  MirrorState next = state_;
  const auto known_before = points_;
  const auto written = [&]() -> Status {
    STRATA_CHECK_OK(add_events(next));
    STRATA_CHECK_OK(add_points(next));
    next.clean = last;
    next.written_ms = clock_.wall().unix_ms;
    return folder_.set_state(next);
  }();
  if (!written) {
    points_ = known_before;  // what is beyond the counted bytes is written again
    return written;
  }
  state_ = std::move(next);
  return {};
}

// Which points are there already: of the series that may still grow, and of all that ended.
Status Mirror::read_known_points() {
  std::map<std::pair<std::string, std::int64_t>, std::int64_t> known;
  for (const MirrorSegment& segment : state_.segments) {
    STRATA_CHECK_OK(read_records(folder_.metrics_file(segment.life), segment.metrics_bytes,
                                 [&](std::string_view payload) -> Status {
                                   STRATA_TRY(PointRecord point, parse_point_payload(payload));
                                   known[{std::move(point.task), point.attempt}] = point.sequence;
                                   return {};
                                 }));
  }
  points_ = std::move(known);
  return {};
}

Status Mirror::add_events(MirrorState& state) {
  STRATA_TRY(const auto database, open_reader(store_.events_file));
  std::optional<RecordWriter> out;
  const Status copied = read_frames(
      *database, {.seq = state.last_seq, .chain = state.chain},
      [&](std::uint64_t seq, std::uint32_t chain, std::string_view frame) -> Status {
        const MirrorSegment& segment = our_segment(state);
        if (!out) {
          STRATA_TRY(out,
                     RecordWriter::open(folder_.events_file(segment.life), segment.events_bytes));
        }
        STRATA_CHECK_OK(out->append(event_payload({.seq = seq, .chain = chain, .frame = frame})));
        state.last_seq = seq;
        state.chain = chain;
        return {};
      });
  STRATA_CHECK_OK(copied);
  if (!out) return {};
  STRATA_CHECK_OK(out->finish());
  our_segment(state).events_bytes = out->offset();
  return {};
}

Status Mirror::add_points(MirrorState& state) {
  STRATA_TRY(const auto database, open_reader(store_.metrics_file));
  std::optional<RecordWriter> out;
  const Status done = from_sqlite("reading metric points", [&]() -> Status {
    SQLite::Statement series(*database,
                             "SELECT id, task, attempt, (SELECT max(sequence) FROM point "
                             "WHERE series = id) FROM series ORDER BY id");
    SQLite::Statement points(*database,
                             "SELECT sequence, step, total, at_ms, metrics FROM point WHERE "
                             "series = ? AND sequence > ? ORDER BY sequence");
    while (series.executeStep()) {
      PointRecord record{.task = series.getColumn(1).getString(),
                         .attempt = series.getColumn(2).getInt64()};
      std::int64_t& known = (*points_)[{record.task, record.attempt}];
      if (series.getColumn(3).getInt64() <= known) continue;
      points.reset();
      Statements::bind(points, series.getColumn(0).getInt64(), known);
      while (points.executeStep()) {
        record.sequence = points.getColumn(0).getInt64();
        record.step = points.getColumn(1).getInt64();
        record.total.reset();
        if (!points.isColumnNull(2)) record.total = points.getColumn(2).getInt64();
        record.at_ms = points.getColumn(3).getInt64();
        record.metrics = points.getColumn(4).getString();
        if (!out) {
          const MirrorSegment& segment = our_segment(state);
          STRATA_TRY(out,
                     RecordWriter::open(folder_.metrics_file(segment.life), segment.metrics_bytes));
        }
        STRATA_CHECK_OK(out->append(point_payload(record)));
        known = record.sequence;
      }
    }
    return {};
  });
  STRATA_CHECK_OK(done);
  if (!out) return {};
  STRATA_CHECK_OK(out->finish());
  our_segment(state).metrics_bytes = out->offset();
  return {};
}

}  // namespace strata::coordinator

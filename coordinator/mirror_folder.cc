#include "coordinator/mirror_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/fields.h"
#include "base/json.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

constexpr int kFormat = 1;
constexpr std::size_t kBufferBytes = 1U << 20U;
constexpr std::size_t kRecordHeaderBytes = 8;
// A keeper on another machine that has not written for so many of its intervals is taken for dead.
constexpr std::int64_t kSilentIntervals = 3;
constexpr std::int64_t kSilentSecondsMin = 10;

tl::unexpected<Error> system_failure(std::string_view doing, const fs::path& path) {
  const int error = errno;
  return fail(ErrorCode::kUnavailable, "{} {}: {}", doing, path.string(), std::strerror(error));
}

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>((value >> (8 * i)) & 0xFFU);
}
std::uint64_t get(std::string_view in, std::size_t at, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i)
    value |= std::uint64_t{static_cast<unsigned char>(in[at + static_cast<std::size_t>(i)])}
             << (8 * i);
  return value;
}

Value to_value(const MirrorState& state) {
  Array segments;
  for (const MirrorSegment& segment : state.segments) {
    segments.emplace_back(Object{{"life", segment.life},
                                 {"events_bytes", segment.events_bytes},
                                 {"metrics_bytes", segment.metrics_bytes}});
  }
  return Object{{"format", kFormat},
                {"coordinator", state.coordinator},
                {"life", state.life},
                {"keeper", Object{{"host", state.keeper.host},
                                  {"boot", state.keeper.boot},
                                  {"pid", state.keeper.pid},
                                  {"since", state.keeper.since}}},
                {"clean", state.clean},
                {"every_ms", state.every_ms},
                {"written_ms", state.written_ms},
                {"last_seq", state.last_seq},
                {"chain", std::int64_t{state.chain}},
                {"segments", std::move(segments)}};
}

std::uint64_t count_of(Fields& fields, std::string_view key) {
  const std::int64_t value = fields.integer(key);
  fields.require(value >= 0, key, "must not be negative");
  return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
}

Result<MirrorState> parse_state(const std::string& text, const std::string& where) {
  STRATA_TRY(const Value value, parse_json(text));
  Fields fields(value, where);
  fields.require(fields.integer("format") == kFormat, "format", "is of another build");
  MirrorState state{.coordinator = fields.text("coordinator"),
                    .life = count_of(fields, "life"),
                    .clean = fields.flag("clean"),
                    .every_ms = fields.integer("every_ms"),
                    .written_ms = fields.integer("written_ms"),
                    .last_seq = count_of(fields, "last_seq"),
                    .chain = static_cast<std::uint32_t>(count_of(fields, "chain"))};
  Fields keeper(fields.required_child("keeper"), where + ": keeper");
  state.keeper = {.host = keeper.text("host"),
                  .boot = keeper.text("boot"),
                  .pid = keeper.integer("pid"),
                  .since = keeper.text("since")};
  const Array* segments = fields.required_child("segments").if_array();
  fields.require(segments != nullptr, "segments", "must be a list");
  STRATA_CHECK_OK(keeper.finish());
  STRATA_CHECK_OK(fields.finish());
  for (const Value& one : *segments) {
    Fields segment(one, where + ": segments");
    state.segments.push_back({.life = count_of(segment, "life"),
                              .events_bytes = count_of(segment, "events_bytes"),
                              .metrics_bytes = count_of(segment, "metrics_bytes")});
    STRATA_CHECK_OK(segment.finish());
  }
  return state;
}

}  // namespace

// --- the folder ---

fs::path MirrorFolder::events_file(std::uint64_t life) const {
  return path_ / fmt::format("events-{:06}.log", life);
}
fs::path MirrorFolder::metrics_file(std::uint64_t life) const {
  return path_ / fmt::format("metrics-{:06}.log", life);
}

Result<std::optional<MirrorState>> MirrorFolder::state() const {
  const fs::path file = path_ / "mirror.json";
  const auto text = read_file(file);
  if (!text && text.error().code == ErrorCode::kNotFound) return std::optional<MirrorState>();
  if (!text) return tl::unexpected(text.error());
  auto state = parse_state(*text, file.string());
  if (!state) return tl::unexpected(Error{ErrorCode::kDamaged, state.error().message});
  return std::optional<MirrorState>(std::move(*state));
}

Status MirrorFolder::set_state(const MirrorState& state) const {
  return write_file_atomic(path_ / "mirror.json", to_pretty_json(to_value(state)) + "\n", 0600);
}

Result<std::uint64_t> MirrorFolder::claim_life(std::uint64_t above) const {
  const auto file = [&](std::uint64_t life) { return path_ / fmt::format("life-{:06}", life); };
  for (std::uint64_t life = above + 1;; ++life) {
    const FileDescriptor fd(
        ::open(file(life).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd.valid() && errno != EEXIST) return system_failure("writing", file(life));
    if (!fd.valid()) continue;
    std::error_code ignored;
    for (std::uint64_t old = above; old > 0 && fs::remove(file(old), ignored); --old) continue;
    return life;
  }
}

Result<std::int64_t> MirrorFolder::seconds_since_written() const {
  // Both times are the file server's: the clocks of two machines are never compared.
  const fs::path probe = path_ / fmt::format(".probe-{}", getpid());
  STRATA_CHECK_OK(write_file_unsynced(probe, "", 0600));
  struct stat now {};
  struct stat then {};
  const bool known =
      ::stat(probe.c_str(), &now) == 0 && ::stat((path_ / "mirror.json").c_str(), &then) == 0;
  ::unlink(probe.c_str());
  if (!known) return system_failure("looking into", path_);
  return std::int64_t{now.st_mtim.tv_sec} - std::int64_t{then.st_mtim.tv_sec};
}

Status MirrorFolder::refuse_while_kept(const MirrorState& state) const {
  if (state.clean || state.keeper == ProcessName{}) return {};
  const ProcessName here = this_process();
  if (state.keeper.host == here.host) {
    // Nothing of this machine outlives a boot of it.
    if (state.keeper.boot != here.boot || !lives(state.keeper)) return {};
    return fail(ErrorCode::kConflict, "the mirror {} is kept by a living coordinator, {}: stop it",
                path_.string(), state.keeper.text());
  }
  STRATA_TRY(const std::int64_t silent, seconds_since_written());
  const std::int64_t patience =
      std::max(state.every_ms * kSilentIntervals / 1'000, kSilentSecondsMin);
  if (silent > patience) return {};
  return fail(ErrorCode::kConflict,
              "the mirror {} is kept by another coordinator, {}, which wrote {} s ago: stop it, or "
              "wait until it has been silent for more than {} s",
              path_.string(), state.keeper.text(), silent, patience);
}

Status MirrorFolder::check_files(const MirrorState& state) const {
  const auto check = [](const fs::path& file, std::uint64_t bytes) -> Status {
    if (bytes == 0) return {};
    std::error_code error;
    const std::uint64_t size = fs::file_size(file, error);
    if (!error && size >= bytes) return {};
    return fail(ErrorCode::kDamaged, "{} has {} bytes of the {} that were written", file.string(),
                error ? 0 : size, bytes);
  };
  for (const MirrorSegment& segment : state.segments) {
    STRATA_CHECK_OK(check(events_file(segment.life), segment.events_bytes));
    STRATA_CHECK_OK(check(metrics_file(segment.life), segment.metrics_bytes));
  }
  return {};
}

// --- records ---

Result<RecordWriter> RecordWriter::open(const fs::path& file, std::uint64_t offset) {
  FileDescriptor fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return system_failure("opening", file);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return system_failure("opening", file);
  // Else the file would get a hole where records were.
  if (static_cast<std::uint64_t>(info.st_size) < offset) {
    return fail(ErrorCode::kDamaged, "{} has {} bytes of the {} that were written", file.string(),
                info.st_size, offset);
  }
  return RecordWriter(file, std::move(fd), offset);
}

Status RecordWriter::append(std::string_view payload) {
  if (payload.size() > kRecordBytesMax)
    return fail(ErrorCode::kTooLarge, "writing {}: a record of {} bytes", file_.string(),
                payload.size());
  put(buffer_, payload.size(), 4);
  put(buffer_, crc32c(payload), 4);
  buffer_ += payload;
  return buffer_.size() < kBufferBytes ? Status() : write_out();
}

Status RecordWriter::write_out() {
  std::string_view left = buffer_;
  while (!left.empty()) {
    const ssize_t n = ::pwrite(fd_.get(), left.data(), left.size(), static_cast<off_t>(offset_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_failure("writing", file_);
    left.remove_prefix(static_cast<std::size_t>(n));
    offset_ += static_cast<std::uint64_t>(n);
  }
  buffer_.clear();
  return {};
}

Status RecordWriter::finish() {
  STRATA_CHECK_OK(write_out());
  if (::fsync(fd_.get()) != 0) return system_failure("syncing", file_);
  return {};
}

Status read_records(const fs::path& file, std::uint64_t bytes,
                    const std::function<Status(std::string_view)>& visit) {
  if (bytes == 0) return {};
  const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return system_failure("reading", file);
  std::uint64_t offset = 0;  // of the first byte of `held`
  std::size_t at = 0;        // within `held`; what is before it was visited
  std::string held;
  std::string chunk(kBufferBytes, '\0');
  const auto need = [&](std::size_t size) -> Status {
    if (held.size() >= at + size) return {};
    held.erase(0, at);
    offset += std::exchange(at, 0);
    while (held.size() < size) {
      const std::uint64_t left = bytes - offset - held.size();
      if (left == 0)
        return fail(ErrorCode::kDamaged, "{}: the record at byte {} is cut off", file.string(),
                    offset);
      const ssize_t n = ::pread(fd.get(), chunk.data(), std::min<std::uint64_t>(chunk.size(), left),
                                static_cast<off_t>(offset + held.size()));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return system_failure("reading", file);
      if (n == 0)
        return fail(ErrorCode::kDamaged, "{} has {} bytes of the {} that were written",
                    file.string(), offset + held.size(), bytes);
      held.append(chunk, 0, static_cast<std::size_t>(n));
    }
    return {};
  };
  while (offset + at < bytes) {
    STRATA_CHECK_OK(need(kRecordHeaderBytes));
    const std::size_t size = get(held, at, 4);
    if (size > kRecordBytesMax)
      return fail(ErrorCode::kDamaged, "{}: no record begins at byte {}", file.string(),
                  offset + at);
    STRATA_CHECK_OK(need(kRecordHeaderBytes + size));
    const std::string_view payload(held.data() + at + kRecordHeaderBytes, size);
    if (crc32c(payload) != get(held, at + 4, 4))
      return fail(ErrorCode::kDamaged, "{}: the record at byte {} is not what was written",
                  file.string(), offset + at);
    STRATA_CHECK_OK(visit(payload));
    at += kRecordHeaderBytes + size;
  }
  return {};
}

std::string event_payload(const EventRecord& record) {
  std::string payload;
  payload.reserve(12 + record.frame.size());
  put(payload, record.seq, 8);
  put(payload, record.chain, 4);
  payload += record.frame;
  return payload;
}

Result<EventRecord> parse_event_payload(std::string_view payload) {
  if (payload.size() < 12) return fail(ErrorCode::kDamaged, "a record is too short for an event");
  return EventRecord{.seq = get(payload, 0, 8),
                     .chain = static_cast<std::uint32_t>(get(payload, 8, 4)),
                     .frame = payload.substr(12)};
}

std::string point_payload(const PointRecord& r) {
  return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}", r.task, r.attempt, r.sequence, r.step,
                     r.total ? std::to_string(*r.total) : "", r.at_ms, r.metrics);
}

Result<PointRecord> parse_point_payload(std::string_view payload) {
  constexpr std::size_t kColumns = 7;
  std::array<std::string_view, kColumns> columns{};
  for (std::size_t i = 0; i < kColumns; ++i) {
    const std::size_t end = i + 1 < kColumns ? payload.find('\t') : payload.size();
    if (end == std::string_view::npos)
      return fail(ErrorCode::kDamaged, "a record has too few columns for a metric point");
    columns[i] = payload.substr(0, end);
    payload.remove_prefix(std::min(end + 1, payload.size()));
  }
  bool good = true;
  const auto number = [&](std::string_view text) {
    std::int64_t value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    good = good && parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
    return value;
  };
  PointRecord record{.task = std::string(columns[0]),
                     .attempt = number(columns[1]),
                     .sequence = number(columns[2]),
                     .step = number(columns[3]),
                     .at_ms = number(columns[5]),
                     .metrics = std::string(columns[6])};
  if (!columns[4].empty()) record.total = number(columns[4]);
  if (!good) return fail(ErrorCode::kDamaged, "a metric point's number is none");
  return record;
}

}  // namespace strata::coordinator

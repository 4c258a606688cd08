// A mirror of a store, in a folder that outlives the machine (it may lie on a network file system;
// SQLite never opens a file in it):
//
//   mirror.json          what the mirror holds, up to which byte of which file, and who keeps it
//   events-000001.log    events as records, in order; metrics-000001.log the same for metric points
//   life-000001          makes the number of a life unique
//   keys.json            the store's key pair (mode 0600, as everything here; the folder 0700)
//
// Only what mirror.json counts is there: it is replaced as a whole after the bytes that it counts
// are on the disk, so an end at any moment leaves the picture before. Each life of a coordinator
// appends to files of its own, so one that was replaced and does not know it yet damages nothing.
//
// A record is its payload's length (u32), the CRC-32C of the payload (u32), the payload; little
// endian. Of an event: sequence (u64), chain (u32), the frame as in the event table. Of a point:
// task, attempt, sequence, step, total or nothing, time of arrival, values as JSON; tabs in
// between.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/host.h"
#include "schema/codec.h"

namespace strata::coordinator {

inline constexpr std::size_t kRecordBytesMax = kFrameBytesMax + 4'096;

struct MirrorSegment {  // the files of one life
  std::uint64_t life = 0;
  std::uint64_t events_bytes = 0;
  std::uint64_t metrics_bytes = 0;
  bool operator==(const MirrorSegment&) const = default;
};

struct MirrorState {
  std::string coordinator{};  // the store's name
  std::uint64_t life = 0;     // counts the coordinators that kept this mirror
  ProcessName keeper{};       // the one of this life; none: it was left behind
  bool clean = false;         // it has ended, and the mirror holds all that it committed
  std::int64_t every_ms = 0;
  std::int64_t written_ms = 0;  // for people
  std::uint64_t last_seq = 0;
  std::uint32_t chain = 0;  // of the event last_seq
  std::vector<MirrorSegment> segments{};
  bool operator==(const MirrorState&) const = default;
};

class MirrorFolder {
 public:
  explicit MirrorFolder(std::filesystem::path path) : path_(std::move(path)) {}

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path events_file(std::uint64_t life) const;
  [[nodiscard]] std::filesystem::path metrics_file(std::uint64_t life) const;
  [[nodiscard]] std::filesystem::path keys_file() const { return path_ / "keys.json"; }

  // Nothing when there is no mirror in the folder yet.
  [[nodiscard]] Result<std::optional<MirrorState>> state() const;
  [[nodiscard]] Status set_state(const MirrorState& state) const;
  // A life's number that nobody else has, above the one given. Of two coordinators that take up a
  // mirror at once, the one with the higher number keeps it.
  [[nodiscard]] Result<std::uint64_t> claim_life(std::uint64_t above) const;
  // kConflict when the keeper seems to be at work: it lives on this machine, or it wrote not long
  // ago, by the folder's own clock.
  [[nodiscard]] Status refuse_while_kept(const MirrorState& state) const;
  // kDamaged when a file has fewer bytes than are counted.
  [[nodiscard]] Status check_files(const MirrorState& state) const;

 private:
  [[nodiscard]] Result<std::int64_t> seconds_since_written() const;
  std::filesystem::path path_;
};

// Appends records at an offset: bytes of a pass that failed are written over by the next one.
class RecordWriter {
 public:
  static Result<RecordWriter> open(const std::filesystem::path& file, std::uint64_t offset);
  [[nodiscard]] Status append(std::string_view payload);
  // All is on the disk when it returns.
  [[nodiscard]] Status finish();
  [[nodiscard]] std::uint64_t offset() const { return offset_ + buffer_.size(); }

 private:
  RecordWriter(std::filesystem::path file, FileDescriptor fd, std::uint64_t offset)
      : file_(std::move(file)), fd_(std::move(fd)), offset_(offset) {}
  Status write_out();
  std::filesystem::path file_;
  FileDescriptor fd_;
  std::uint64_t offset_ = 0;  // of the buffer's first byte
  std::string buffer_;
};

// The payloads of the first `bytes` bytes of a file. kDamaged names the offset.
[[nodiscard]] Status read_records(const std::filesystem::path& file, std::uint64_t bytes,
                                  const std::function<Status(std::string_view)>& visit);

struct EventRecord {
  std::uint64_t seq = 0;
  std::uint32_t chain = 0;
  std::string_view frame{};
};
[[nodiscard]] std::string event_payload(const EventRecord& record);
[[nodiscard]] Result<EventRecord> parse_event_payload(std::string_view payload);

struct PointRecord {  // the columns of `series` and `point`
  std::string task{};
  std::int64_t attempt = 0;
  std::int64_t sequence = 0;
  std::int64_t step = 0;
  std::optional<std::int64_t> total{};
  std::int64_t at_ms = 0;
  std::string metrics{};
  bool operator==(const PointRecord&) const = default;
};
[[nodiscard]] std::string point_payload(const PointRecord& record);
[[nodiscard]] Result<PointRecord> parse_point_payload(std::string_view payload);

}  // namespace strata::coordinator

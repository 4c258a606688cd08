#include "schema/codec.h"

#include <array>
#include <cereal/archives/portable_binary.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/variant.hpp>
#include <cstring>
#include <sstream>
#include <streambuf>

#include "base/assert.h"
#include "base/json.h"

namespace strata {
namespace {

constexpr std::string_view kMagic = "STRA";
constexpr std::uint16_t kMessageKind = 1;
constexpr std::uint16_t kEventKind = 2;

// Reads what cereal::PortableBinaryOutputArchive wrote. Ours instead of cereal's, because that one
// believes a length before it looks at how many bytes there are.
class BoundedInput : public cereal::InputArchive<BoundedInput, cereal::AllowEmptyClassElision> {
 public:
  explicit BoundedInput(std::string_view bytes) : InputArchive(this), rest_(bytes) {
    std::uint8_t little_endian = 0;
    load_bytes(&little_endian, 1);
    if (little_endian != 1) throw cereal::Exception("the payload is not little endian");
  }
  void load_bytes(void* to, std::size_t size) {
    if (size > rest_.size()) throw cereal::Exception("the payload ends too early");
    std::memcpy(to, rest_.data(), size);
    rest_.remove_prefix(size);
  }
  [[nodiscard]] std::size_t remaining() const { return rest_.size(); }

 private:
  std::string_view rest_;
};

template <class T>
requires std::is_arithmetic_v<T>
void CEREAL_LOAD_FUNCTION_NAME(BoundedInput& in, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    std::uint8_t byte = 0;
    in.load_bytes(&byte, 1);
    if (byte > 1) throw cereal::Exception("a boolean is neither 0 nor 1");
    value = byte == 1;
  } else {
    in.load_bytes(&value, sizeof(value));
  }
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(BoundedInput& in, cereal::NameValuePair<T>& pair) {
  in(pair.value);
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(BoundedInput& in, cereal::SizeTag<T>& tag) {
  in(tag.size);
  if (tag.size > in.remaining()) throw cereal::Exception("a length exceeds the payload");
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(BoundedInput& in, cereal::BinaryData<T>& data) {
  in.load_bytes(data.data, static_cast<std::size_t>(data.size));
}

}  // namespace
}  // namespace strata

CEREAL_REGISTER_ARCHIVE(strata::BoundedInput)

namespace strata {

// Containers grow element by element, so that a false length costs no memory. An element takes at
// least one byte.
template <class Archive, class T>
void save_list(Archive& archive, const std::vector<T>& list) {
  archive(cereal::make_size_tag(static_cast<cereal::size_type>(list.size())));
  for (const T& item : list) archive(item);
}
template <class Archive, class T>
void load_list(Archive& archive, std::vector<T>& list) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  list.clear();
  for (cereal::size_type i = 0; i < size; ++i) {
    T item{};
    archive(item);
    list.push_back(std::move(item));
  }
}
template <class Archive, class T>
void save_map(Archive& archive, const std::map<std::string, T>& map) {
  archive(cereal::make_size_tag(static_cast<cereal::size_type>(map.size())));
  for (const auto& [key, item] : map) archive(key, item);
}
template <class Archive, class T>
void load_map(Archive& archive, std::map<std::string, T>& map) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  map.clear();
  for (cereal::size_type i = 0; i < size; ++i) {
    std::string key;
    T item{};
    archive(key, item);
    map.emplace(std::move(key), std::move(item));
  }
}

}  // namespace strata

namespace cereal {

template <class Archive, class T>
void CEREAL_SAVE_FUNCTION_NAME(Archive& archive, const std::vector<T>& list) {
  strata::save_list(archive, list);
}
template <class Archive, class T>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::vector<T>& list) {
  strata::load_list(archive, list);
}
template <class Archive, class T>
void CEREAL_SAVE_FUNCTION_NAME(Archive& archive, const std::map<std::string, T>& map) {
  strata::save_map(archive, map);
}
template <class Archive, class T>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::map<std::string, T>& map) {
  strata::load_map(archive, map);
}

}  // namespace cereal

namespace strata {

template <class Archive, class Tag>
void CEREAL_SAVE_FUNCTION_NAME(Archive& a, const DigestId<Tag>& id) {
  for (const std::uint8_t byte : id.bytes()) a(byte);
}
template <class Archive, class Tag>
void CEREAL_LOAD_FUNCTION_NAME(Archive& a, DigestId<Tag>& id) {
  typename DigestId<Tag>::Bytes bytes{};
  for (std::uint8_t& byte : bytes) a(byte);
  id = DigestId<Tag>(bytes);
}
template <class Archive, class Tag>
void CEREAL_SAVE_FUNCTION_NAME(Archive& a, const StrongId<Tag>& id) {
  a(id.value());
}
template <class Archive, class Tag>
void CEREAL_LOAD_FUNCTION_NAME(Archive& a, StrongId<Tag>& id) {
  std::uint64_t value = 0;
  a(value);
  id = StrongId<Tag>(value);
}
template <class Archive>
void CEREAL_SAVE_FUNCTION_NAME(Archive& a, const Value& value) {
  a(to_canonical_json(value));
}
template <class Archive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& a, Value& value) {
  std::string text;
  a(text);
  auto parsed = parse_json(text);
  if (!parsed) throw cereal::Exception(parsed.error().message);
  value = std::move(*parsed);
}

// An enum is checked against its last name, so that a later visit without a default is safe.
template <class Archive, class Enum>
void serialize_enum(Archive& a, Enum& value, Enum last) {
  auto byte = static_cast<std::uint8_t>(value);
  a(byte);
  if (byte > static_cast<std::uint8_t>(last))
    throw cereal::Exception("an enumeration value is unknown");
  value = static_cast<Enum>(byte);
}

// One line per struct: the order of fields is the format. Append only.
template <class A>
void serialize(A& a, WallTime& v) {
  a(v.unix_ms);
}
template <class A>
void serialize(A& a, AttemptId& v) {
  a(v.task, v.number);
}
template <class A>
void serialize(A& a, ArtifactRef& v) {
  a(v.hash, v.bytes, v.files);
}
template <class A>
void serialize(A& a, Score& v) {
  a(v.name, v.value, v.unit, v.low, v.high, v.count, v.better, v.judge, v.items);
}
template <class A>
void serialize(A& a, Program& v) {
  a(v.name, v.argv, v.result_version);
}
template <class A>
void serialize(A& a, Resources& v) {
  a(v.slots, v.ranks, v.threads, v.labels);
}
template <class A>
void serialize(A& a, RetryPolicy& v) {
  a(v.user_failures_max, v.infra_failures_max);
}
template <class A>
void serialize(A& a, TaskInput& v) {
  a(v.name, v.producer, v.output);
}
template <class A>
void serialize(A& a, TaskSpec& v) {
  a(v.key, v.stage, v.program, v.parameters, v.neutral, v.seed, v.inputs, v.outputs, v.resources,
    v.retry, v.lease_ms, v.resumable, v.secrets, v.flops);
}
template <class A>
void serialize(A& a, RunSpec& v) {
  a(v.key, v.cell, v.assignment, v.seed, v.baseline, v.tasks);
}

template <class A>
void serialize(A& a, Grant& v) {
  a(v.worker, v.slots);
}
template <class A>
void serialize(A& a, SweepOpened& v) {
  a(v.sweep, v.generation, v.priority, v.definition);
}
template <class A>
void serialize(A& a, TaskWanted& v) {
  a(v.sweep, v.spec);
}
template <class A>
void serialize(A& a, RunAdded& v) {
  a(v.sweep, v.generation, v.run);
}
template <class A>
void serialize(A& a, SweepSealed& v) {
  a(v.sweep, v.generation);
}
template <class A>
void serialize(A& a, WantWithdrawn& v) {
  a(v.sweep, v.task);
}
template <class A>
void serialize(A& a, TaskRevived& v) {
  a(v.task);
}
template <class A>
void serialize(A& a, TaskCancelled& v) {
  a(v.task);
}
template <class A>
void serialize(A& a, WorkerJoined& v) {
  a(v.worker, v.name, v.session, v.slots, v.labels);
}
template <class A>
void serialize(A& a, WorkerDrained& v) {
  a(v.worker);
}
template <class A>
void serialize(A& a, WorkerGone& v) {
  a(v.worker, v.reason);
}
template <class A>
void serialize(A& a, AttemptGranted& v) {
  a(v.attempt, v.gang, v.inputs, v.resume_from);
}
template <class A>
void serialize(A& a, AttemptStarted& v) {
  a(v.attempt);
}
template <class A>
void serialize(A& a, CheckpointCommitted& v) {
  a(v.attempt, v.step, v.artifact);
}
template <class A>
void serialize(A& a, StopRequested& v) {
  a(v.attempt, v.reason);
}
template <class A>
void serialize(A& a, Succeeded& v) {
  a(v.artifacts, v.scores, v.consumed, v.recorded);
}
template <class A>
void serialize(A& a, Failed& v) {
  serialize_enum(a, v.cause, FailureClass::kData);
  a(v.reason, v.delay_ms);
}
template <class A>
void serialize(A& a, Lost& v) {
  a(v.reason, v.delay_ms);
}
template <class A>
void serialize(A& a, Stopped& v) {
  a(v.reason);
}
template <class A>
void serialize(A& a, Diverged& v) {
  a(v.reason);
}
template <class A>
void serialize(A& a, AttemptEnded& v) {
  a(v.attempt, v.outcome);
}
template <class A>
void serialize(A& a, ArtifactEvicted& v) {
  a(v.artifact);
}
template <class A>
void serialize(A& a, StoreRestored& v) {
  a(v.attempts_above);
}
template <class A>
void serialize(A& a, Event& v) {
  a(v.at, v.body);
}

template <class A>
void serialize(A& a, HeldAttempt& v) {
  a(v.attempt);
  serialize_enum(a, v.phase, AttemptPhase::kStopping);
}
template <class A>
void serialize(A& a, Hello& v) {
  a(v.protocol_min, v.protocol_max, v.build, v.name, v.session, v.slots, v.labels, v.held);
}
template <class A>
void serialize(A& a, Heartbeat& v) {
  a(v.worker, v.session, v.sequence, v.held);
}
template <class A>
void serialize(A& a, ReportStarted& v) {
  a(v.worker, v.attempt);
}
template <class A>
void serialize(A& a, ReportCheckpoint& v) {
  a(v.worker, v.attempt, v.step, v.artifact);
}
template <class A>
void serialize(A& a, ReportEnded& v) {
  a(v.worker, v.attempt, v.outcome, v.missing_inputs);
}
template <class A>
void serialize(A& a, MetricPoint& v) {
  a(v.sequence, v.step, v.total, v.values);
}
template <class A>
void serialize(A& a, MetricBatch& v) {
  a(v.worker, v.attempt, v.points);
}
template <class A>
void serialize(A& a, Goodbye& v) {
  a(v.worker, v.session, v.reason);
}
template <class A>
void serialize(A& a, Leaving& v) {
  a(v.worker, v.session);
}
template <class A>
void serialize(A& a, Welcome& v) {
  a(v.worker, v.session, v.coordinator, v.heartbeat_ms, v.artifact_folder);
}
template <class A>
void serialize(A& a, Refused& v) {
  a(v.reason);
}
template <class A>
void serialize(A& a, StartAttempt& v) {
  a(v.attempt, v.spec, v.gang, v.lease_ms, v.inputs, v.resume_from);
}
template <class A>
void serialize(A& a, StopAttempt& v) {
  a(v.attempt, v.reason);
}
template <class A>
void serialize(A& a, HeartbeatAck& v) {
  a(v.sequence, v.drop);
}
template <class A>
void serialize(A& a, EndedAck& v) {
  a(v.attempt);
}
template <class A>
void serialize(A& a, MetricAck& v) {
  a(v.attempt, v.up_to, v.stale);
}
template <class A>
void serialize(A& a, WhoAreYou& v) {
  std::uint8_t nothing = 0;  // an element takes at least one byte
  a(nothing);
  static_cast<void>(v);
}
template <class A>
void serialize(A& a, Request& v) {
  a(v.protocol, v.id, v.verb, v.body);
}
template <class A>
void serialize(A& a, Answer& v) {
  a(v.id, v.ok, v.body);
}
template <class A>
void serialize(A& a, SubmitTasks& v) {
  a(v.id, v.sweep, v.priority, v.definition, v.first, v.last, v.tasks, v.runs, v.if_plan);
}

namespace {

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i)
    out += static_cast<char>(static_cast<unsigned char>(value >> (8 * i)));
}
std::uint64_t get(std::string_view in, std::size_t at, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) {
    value |=
        static_cast<std::uint64_t>(static_cast<unsigned char>(in[at + static_cast<std::size_t>(i)]))
        << (8 * i);
  }
  return value;
}

template <class T>
Result<std::string> encode_frame(const T& value, std::uint16_t version, std::uint16_t kind) {
  std::ostringstream stream;
  {
    cereal::PortableBinaryOutputArchive archive(
        stream, cereal::PortableBinaryOutputArchive::Options::LittleEndian());
    archive(value);
  }
  const std::string payload = std::move(stream).str();
  if (payload.size() + kFrameHeaderBytes > kFrameBytesMax) {
    return fail(ErrorCode::kTooLarge, "a frame of {} bytes exceeds the limit of {}",
                payload.size() + kFrameHeaderBytes, kFrameBytesMax);
  }
  std::string frame(kMagic);
  put(frame, version, 2);
  put(frame, kind, 2);
  put(frame, payload.size(), 4);
  put(frame, crc32c(payload), 4);
  STRATA_ASSERT(frame.size() == kFrameHeaderBytes);
  return frame + payload;
}

template <class T>
Result<T> decode_frame(std::string_view frame, std::uint16_t version, std::uint16_t kind) {
  if (frame.size() > kFrameBytesMax)
    return fail(ErrorCode::kTooLarge, "a frame of {} bytes exceeds the limit", frame.size());
  if (frame.size() < kFrameHeaderBytes || frame.substr(0, 4) != kMagic) {
    return fail(ErrorCode::kInvalid, "not a frame of Strata: {} bytes without its magic",
                frame.size());
  }
  const std::uint64_t its_version = get(frame, 4, 2);
  if (its_version == 0 || its_version > version) {
    return fail(ErrorCode::kUnsupported, "frame version {}; this build understands 1 to {}",
                its_version, version);
  }
  if (get(frame, 6, 2) != kind)
    return fail(ErrorCode::kInvalid, "a frame of kind {}, expected {}", get(frame, 6, 2), kind);
  const std::string_view payload = frame.substr(kFrameHeaderBytes);
  if (get(frame, 8, 4) != payload.size()) {
    return fail(ErrorCode::kDamaged, "the frame says {} bytes of payload, there are {}",
                get(frame, 8, 4), payload.size());
  }
  if (get(frame, 12, 4) != crc32c(payload))
    return fail(ErrorCode::kDamaged, "the frame's checksum does not match");
  try {
    BoundedInput in(payload);
    T value{};
    in(value);
    if (in.remaining() != 0)
      return fail(ErrorCode::kInvalid, "{} bytes follow the payload's end", in.remaining());
    return value;
  } catch (const std::exception& e) {
    return fail(ErrorCode::kInvalid, "the frame's payload: {}", e.what());
  }
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) {
  static const std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int bit = 0; bit < 8; ++bit) c = (c & 1U) != 0 ? 0x82F63B78U ^ (c >> 1U) : c >> 1U;
      table.at(i) = c;
    }
    return table;
  }();
  std::uint32_t crc = ~seed;
  for (const char byte : bytes)
    crc = kTable.at((crc ^ static_cast<unsigned char>(byte)) & 0xFFU) ^ (crc >> 8U);
  return ~crc;
}

Result<std::string> encode(const Message& message) {
  return encode_frame(message, kProtocolVersion, kMessageKind);
}
Result<std::string> encode(const Event& event) {
  return encode_frame(event, kEventVersion, kEventKind);
}
Result<Message> decode_message(std::string_view frame) {
  return decode_frame<Message>(frame, kProtocolVersion, kMessageKind);
}
Result<Event> decode_event(std::string_view frame) {
  return decode_frame<Event>(frame, kEventVersion, kEventKind);
}

}  // namespace strata

// The fields of every event and message, for cereal: one line per struct. Only codec.cc includes
// it.
#pragma once

#include <bit>
#include <cereal/cereal.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/variant.hpp>
#include <cstring>

#include "base/json.h"
#include "schema/event.h"
#include "schema/message.h"

namespace strata {

// Appends to a string what cereal::PortableBinaryOutputArchive writes to a stream, byte for byte:
// logs hold it. Without the stream an event costs a fraction.
class FrameOutput : public cereal::OutputArchive<FrameOutput, cereal::AllowEmptyClassElision> {
 public:
  explicit FrameOutput(std::string& out) : OutputArchive(this), out_(out) {
    out_ += '\1';  // the payload is little endian
  }
  void save_bytes(const void* from, std::size_t size) {
    out_.append(static_cast<const char*>(from), size);
  }

 private:
  std::string& out_;
};

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie");

template <class T>
requires std::is_arithmetic_v<T>
void CEREAL_SAVE_FUNCTION_NAME(FrameOutput& out, const T& value) {
  out.save_bytes(&value, sizeof(value));
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(FrameOutput& out, const cereal::NameValuePair<T>& pair) {
  out(pair.value);
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(FrameOutput& out, const cereal::SizeTag<T>& tag) {
  out(tag.size);
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(FrameOutput& out, const cereal::BinaryData<T>& data) {
  out.save_bytes(data.data, static_cast<std::size_t>(data.size));
}

// Reads what FrameOutput wrote. Ours instead of cereal's, because that one
// believes a length before it looks at how many bytes there are.
class BoundedInput : public cereal::InputArchive<BoundedInput, cereal::AllowEmptyClassElision> {
 public:
  BoundedInput(std::string_view bytes, std::uint64_t version)
      : InputArchive(this), rest_(bytes), version_(version) {
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
  [[nodiscard]] std::uint64_t version() const { return version_; }

 private:
  std::string_view rest_;
  std::uint64_t version_;
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

}  // namespace strata

CEREAL_REGISTER_ARCHIVE(strata::BoundedInput)
CEREAL_REGISTER_ARCHIVE(strata::FrameOutput)

namespace strata {

// One number for both, because events and messages share structures.
static_assert(kEventVersion == kProtocolVersion);

// Fields that were added in `version`: always written, and read from frames of that version on.
// From older frames they keep the values that mean "as before".
template <class A>
bool is_since(A& archive, std::uint64_t version) {
  if constexpr (std::is_same_v<A, BoundedInput>) return archive.version() >= version;
  return true;
}
template <class A, class... Fields>
void since(A& archive, std::uint64_t version, Fields&... fields) {
  if (is_since(archive, version)) archive(fields...);
}

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
  a(cereal::binary_data(id.bytes().data(), id.bytes().size()));
}
template <class Archive, class Tag>
void CEREAL_LOAD_FUNCTION_NAME(Archive& a, DigestId<Tag>& id) {
  typename DigestId<Tag>::Bytes bytes{};
  a(cereal::binary_data(bytes.data(), bytes.size()));
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

// The order and the message that it becomes.
template <class A, class Stop>
void serialize_stop(A& a, Stop& v) {
  if (!is_since(a, 2)) return;
  serialize_enum(a, v.kind, StopKind::kCancel);
  a(v.grace_ms);
}

// One line per struct: the order of fields is the format. Append only, with since().
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
  since(a, 2, v.memory_mb, v.expected_ms);
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
void serialize(A& a, LogRule& v) {
  a(v.name, v.pattern);
  serialize_enum(a, v.cause, FailureClass::kScheduled);
  serialize_enum(a, v.action, LogAction::kQuarantineWorker);
}
template <class A>
void serialize(A& a, SearchDefinition& v) {
  serialize_enum(a, v.method, SearchMethod::kMedian);
  a(v.stage, v.metric, v.minimize, v.rungs, v.reduction, v.others_min);
}
template <class A>
void serialize(A& a, SweepOptions& v) {
  a(v.user, v.weight, v.slots_max, v.preempts, v.search);
}
template <class A>
void serialize(A& a, TaskSpec& v) {
  a(v.key, v.stage, v.program, v.parameters, v.neutral, v.seed, v.inputs, v.outputs, v.resources,
    v.retry, v.lease_ms, v.resumable, v.secrets, v.flops);
  since(a, 2, v.scoring, v.grace_ms, v.fallbacks, v.log_rules, v.code, v.versions,
        v.versions_in_key);
}
template <class A>
void serialize(A& a, RunSpec& v) {
  a(v.key, v.cell, v.assignment, v.seed, v.baseline, v.tasks);
}

template <class A>
void serialize(A& a, Grant& v) {
  a(v.worker, v.slots);
  since(a, 2, v.memory_mb);
}
template <class A>
void serialize(A& a, SweepOpened& v) {
  a(v.sweep, v.generation, v.priority, v.definition);
  since(a, 2, v.options);
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
  since(a, 2, v.memory_mb);
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
  serialize_stop(a, v);
}
template <class A>
void serialize(A& a, Succeeded& v) {
  a(v.artifacts, v.scores, v.consumed, v.recorded);
}
template <class A>
void serialize(A& a, Failed& v) {
  serialize_enum(a, v.cause, FailureClass::kScheduled);
  a(v.reason, v.delay_ms);
  if (!is_since(a, 2)) return;
  a(v.signature, v.step);
  serialize_enum(a, v.action, LogAction::kQuarantineWorker);
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
void serialize(A& a, WorkerQuarantined& v) {
  a(v.name, v.reason, v.for_ms);
}
template <class A>
void serialize(A& a, WorkerProbed& v) {
  a(v.name);
}
template <class A>
void serialize(A& a, WorkerReleased& v) {
  a(v.name, v.reason);
}
template <class A>
void serialize(A& a, FailureForgiven& v) {
  a(v.task, v.user_failures, v.reason);
}
template <class A>
void serialize(A& a, RungReached& v) {
  a(v.sweep, v.task, v.rung, v.value);
}
template <class A>
void serialize(A& a, TaskHeld& v) {
  a(v.sweep, v.task, v.reason);
}
template <class A>
void serialize(A& a, TaskPromoted& v) {
  a(v.sweep, v.task, v.reason);
}
template <class A>
void serialize(A& a, TaskPruned& v) {
  a(v.sweep, v.task, v.reason);
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
  since(a, 2, v.memory_mb, v.lifetime_left_ms);
}
template <class A>
void serialize(A& a, Heartbeat& v) {
  a(v.worker, v.session, v.sequence, v.held);
  since(a, 2, v.lifetime_left_ms);
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
  since(a, 2, v.heartbeat_address);
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
  serialize_stop(a, v);
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
void serialize(A& a, CheckpointAck& v) {
  a(v.attempt, v.step);
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
  since(a, 2, v.options);
}

}  // namespace strata

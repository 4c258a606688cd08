#include "schema/codec.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "base/random.h"
#include "tests/support/sample_sweep.h"

namespace strata {
namespace {

std::string to_hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

// One of every event and message of version 1, each field of it with a value of its own. These
// lists are closed.
std::vector<Event> sample_events_1() {
  const TaskSpec producer = testing::make_task("prepare", 1);
  TaskSpec spec = testing::make_task("train", 2, {producer}, 3);
  spec.seed = 7;
  spec.secrets = {"TOKEN"};
  spec.resources.labels = {"gpu"};
  const AttemptId attempt{.task = spec.key, .number = 4};
  const ArtifactRef artifact = testing::make_artifact("bytes");
  Succeeded succeeded{.artifacts = {{"result", artifact}},
                      .scores = {{.name = "wer",
                                  .value = 0.25,
                                  .unit = "fraction",
                                  .low = 0.125,
                                  .count = 2,
                                  .better = "lower",
                                  .judge = "j@1",
                                  .items = {{"u1", 0.5}}}},
                      .consumed = {{"from_prepare", artifact.hash}},
                      .recorded = {{"host", "n1"}}};
  const WallTime at{1'700'000'000'123};
  return {{at, SweepOpened{"s", 2, 5, "{}"}},
          {at, TaskWanted{"s", spec}},
          {at, RunAdded{"s", 2, testing::make_run("cell", 7, {producer, spec})}},
          {at, SweepSealed{"s", 2}},
          {at, WantWithdrawn{"s", spec.key}},
          {at, TaskRevived{spec.key}},
          {at, TaskCancelled{spec.key}},
          {at, WorkerJoined{WorkerId(3), "w1", 99, 4, {"gpu"}}},
          {at, WorkerDrained{WorkerId(3)}},
          {at, WorkerGone{WorkerId(3), "silent"}},
          {at, AttemptGranted{attempt, {{WorkerId(3), 3}}, {{"from_prepare", artifact}}, artifact}},
          {at, AttemptStarted{attempt}},
          {at, CheckpointCommitted{attempt, 100, artifact}},
          {at, StopRequested{attempt, "cancelled"}},
          {at, AttemptEnded{attempt, succeeded}},
          {at, AttemptEnded{attempt, Failed{FailureClass::kData, "gone", 1500}}},
          {at, AttemptEnded{attempt, Lost{"lease", 1000}}},
          {at, AttemptEnded{attempt, Stopped{"asked"}}},
          {at, AttemptEnded{attempt, Diverged{"NaN"}}},
          {at, ArtifactEvicted{artifact.hash}},
          {at, StoreRestored{1'000'004}}};
}

std::vector<Message> sample_messages_1() {
  const TaskSpec spec = testing::make_task("train", 2);
  const AttemptId attempt{.task = spec.key, .number = 4};
  const ArtifactRef artifact = testing::make_artifact("bytes");
  const std::vector<HeldAttempt> held{{.attempt = attempt, .phase = AttemptPhase::kRunning}};
  return {
      Hello{.build = "b", .name = "w1", .session = 9, .slots = 2, .labels = {"gpu"}, .held = held},
      Heartbeat{.worker = WorkerId(3), .session = 9, .sequence = 11, .held = held},
      ReportStarted{.worker = WorkerId(3), .attempt = attempt},
      ReportCheckpoint{.worker = WorkerId(3), .attempt = attempt, .step = 10, .artifact = artifact},
      ReportEnded{.worker = WorkerId(3),
                  .attempt = attempt,
                  .outcome = Stopped{.reason = "asked"},
                  .missing_inputs = {artifact.hash}},
      MetricBatch{.worker = WorkerId(3),
                  .attempt = attempt,
                  .points = {{.sequence = 1, .step = 10, .total = 20, .values = {{"loss", 0.5}}}}},
      Goodbye{.worker = WorkerId(3), .session = 9, .reason = "SIGTERM"},
      Welcome{.worker = WorkerId(3),
              .session = 9,
              .coordinator = "c",
              .heartbeat_ms = 5000,
              .artifact_folder = "/a"},
      Refused{.reason = "no"},
      StartAttempt{.attempt = attempt,
                   .spec = spec,
                   .gang = {{WorkerId(3), 1}},
                   .lease_ms = 60'000,
                   .inputs = {{"i", artifact}},
                   .resume_from = artifact},
      StopAttempt{.attempt = attempt, .reason = "cancelled"},
      HeartbeatAck{.sequence = 11, .drop = {attempt}},
      EndedAck{.attempt = attempt},
      MetricAck{.attempt = attempt, .up_to = 5, .stale = true},
      WhoAreYou{},
      Request{.id = 1, .verb = "status", .body = "{}"},
      Answer{.id = 1, .ok = true, .body = "{}"},
      testing::make_submission("s", {spec}, {testing::make_run("cell", 1, {spec})}),
      Leaving{.worker = WorkerId(3), .session = 9}};
}

constexpr const char* kGoldenFile = STRATA_SOURCE_DIR "/tests/golden/schema/frames_2.txt";

TaskSpec spec_with_everything() {
  TaskSpec spec = testing::make_task("train", 2);
  spec.resources.memory_mb = 4096;
  spec.resources.expected_ms = 3'600'000;
  spec.scoring = true;
  spec.grace_ms = 45'000;
  spec.fallbacks = {{.slots = 2, .ranks = 2, .memory_mb = 8192}};
  spec.log_rules = {{.name = "mine",
                     .pattern = "^panic",
                     .cause = FailureClass::kNode,
                     .action = LogAction::kQuarantineWorker}};
  spec.code = testing::make_artifact("code");
  spec.versions = {{"code", "git 3f2a"}, {"data/list", "9f2c"}};
  spec.versions_in_key = {"code"};
  spec.key = compute_key(spec);
  return spec;
}

SweepOptions options_with_everything() {
  return {.user = "ada",
          .weight = 3,
          .slots_max = 16,
          .preempts = true,
          .search = SearchDefinition{.method = SearchMethod::kMedian,
                                     .stage = "train",
                                     .metric = "loss",
                                     .minimize = false,
                                     .rungs = {100, 300},
                                     .reduction = 4,
                                     .others_min = 5}};
}

// What version 2 added, and what it changed. Changing these lists is adding to the goldens.
std::vector<Event> sample_events() {
  std::vector<Event> events = sample_events_1();
  const WallTime at{1'700'000'000'123};
  const TaskSpec spec = spec_with_everything();
  const AttemptId attempt{.task = spec.key, .number = 4};
  const std::vector<EventBody> added{
      SweepOpened{"s", 2, 5, "{}", options_with_everything()},
      TaskWanted{"s", spec},
      WorkerJoined{WorkerId(3), "w1", 99, 4, {"gpu"}, 65'536},
      AttemptGranted{attempt, {{WorkerId(3), 3, 4096}}, {}, {}},
      StopRequested{attempt, "needed", StopKind::kPreempt, 120'000},
      AttemptEnded{attempt, Failed{FailureClass::kScheduled, "time limit", 0, "exit 4", 17,
                                   LogAction::kAvoidWorker}},
      WorkerQuarantined{"w1", "three tasks failed there", 600'000},
      WorkerProbed{"w1"},
      WorkerReleased{"w1", "it did its task"},
      FailureForgiven{spec.key, 1, "it was w1"},
      RungReached{"s", spec.key, 1, 0.125},
      TaskHeld{"s", spec.key, "not among the best third"},
      TaskPromoted{"s", spec.key, "is now"},
      TaskPruned{"s", spec.key, "never was"}};
  for (const EventBody& body : added) events.push_back({at, body});
  return events;
}

std::vector<Message> sample_messages() {
  std::vector<Message> messages = sample_messages_1();
  const TaskSpec spec = spec_with_everything();
  const AttemptId attempt{.task = spec.key, .number = 4};
  SubmitTasks submission = testing::make_submission("s", {spec});
  submission.options = options_with_everything();
  const std::vector<Message> added{
      Hello{.name = "w1", .session = 9, .slots = 2, .memory_mb = 65'536, .lifetime_left_ms = 1'000},
      Heartbeat{.worker = WorkerId(3), .session = 9, .sequence = 11, .lifetime_left_ms = 2'000},
      Welcome{.worker = WorkerId(3), .heartbeat_address = "tcp://127.0.0.1:4001"},
      StopAttempt{
          .attempt = attempt, .reason = "needed", .kind = StopKind::kPreempt, .grace_ms = 120'000},
      submission,
      CheckpointAck{.attempt = attempt, .step = 10}};
  messages.insert(messages.end(), added.begin(), added.end());
  return messages;
}

std::map<std::string, std::string> read_goldens(const std::string& file) {
  std::ifstream in(file);
  std::map<std::string, std::string> goldens;
  for (std::string name, hex; in >> name >> hex;) goldens.emplace(name, hex);
  return goldens;
}

// The bytes on disk and on the wire are a promise to every earlier build. A failure here is a
// broken promise, not an old golden: append alternatives and fields instead, and add lines to the
// file.
TEST(CodecGolden, FramesAreWhatTheyWereWhenTheFormatWasFixed) {
  const auto goldens = read_goldens(kGoldenFile);
  std::map<std::string, std::string> now;
  int index = 0;
  for (const Event& event : sample_events())
    now.emplace(fmt::format("event-{:02}-{}", index++, name_of(event.body)),
                to_hex(*encode(event)));
  index = 0;
  for (const Message& message : sample_messages())
    now.emplace(fmt::format("message-{:02}-{}", index++, name_of(message)),
                to_hex(*encode(message)));
  // STRATA_ADD_GOLDENS=1 appends what is new and never touches what is there.
  if (std::getenv("STRATA_ADD_GOLDENS") != nullptr) {
    std::ofstream out(kGoldenFile, std::ios::app);
    for (const auto& [name, hex] : now) {
      if (!goldens.contains(name)) out << name << ' ' << hex << '\n';
    }
    FAIL() << "goldens were added: look at them, then run without STRATA_ADD_GOLDENS";
  }
  ASSERT_EQ(now.size(), goldens.size());
  for (const auto& [name, hex] : now)
    EXPECT_EQ(goldens.contains(name) ? goldens.at(name) : "missing", hex) << name;
}

// What builds of version 1 wrote is read by this one, and the fields that came later mean "as
// before".
TEST(CodecGolden, FramesOfVersionOneAreRead) {
  const auto goldens = read_goldens(STRATA_SOURCE_DIR "/tests/golden/schema/frames_1.txt");
  const auto bytes_of = [&](const std::string& name) {
    std::string bytes;
    const auto it = goldens.find(name);
    for (std::size_t i = 0; it != goldens.end() && i + 1 < it->second.size(); i += 2)
      bytes += static_cast<char>(std::stoi(it->second.substr(i, 2), nullptr, 16));
    return bytes;
  };
  int index = 0;
  for (const Event& event : sample_events_1()) {
    const auto read =
        decode_event(bytes_of(fmt::format("event-{:02}-{}", index++, name_of(event.body))));
    ASSERT_TRUE(read.has_value()) << name_of(event.body) << ": " << read.error().message;
    EXPECT_EQ(*read, event) << name_of(event.body);
  }
  index = 0;
  for (Message message : sample_messages_1()) {
    const auto read =
        decode_message(bytes_of(fmt::format("message-{:02}-{}", index++, name_of(message))));
    ASSERT_TRUE(read.has_value()) << name_of(message) << ": " << read.error().message;
    // What a sender says about itself is what it was.
    if (auto* hello = std::get_if<Hello>(&message)) hello->protocol_min = hello->protocol_max = 1;
    if (auto* request = std::get_if<Request>(&message)) request->protocol = 1;
    EXPECT_EQ(*read, message) << name_of(message);
  }
  EXPECT_EQ(goldens.size(), sample_events_1().size() + sample_messages_1().size());
}

TEST(Codec, EverythingSurvivesTheRoundTrip) {
  for (const Event& event : sample_events()) {
    const auto back = decode_event(*encode(event));
    ASSERT_TRUE(back.has_value()) << name_of(event.body) << ": " << back.error().message;
    EXPECT_EQ(*back, event) << name_of(event.body);
  }
  for (const Message& message : sample_messages()) {
    const auto back = decode_message(*encode(message));
    ASSERT_TRUE(back.has_value()) << name_of(message) << ": " << back.error().message;
    EXPECT_EQ(*back, message) << name_of(message);
  }
}

TEST(Codec, EveryTruncationAndEveryFlippedBitIsAnError) {
  const std::string frame = *encode(sample_events().at(14));
  for (std::size_t size = 0; size < frame.size(); ++size)
    ASSERT_FALSE(decode_event(frame.substr(0, size)).has_value()) << size;
  for (std::size_t bit = 0; bit < 8 * frame.size(); ++bit) {
    std::string damaged = frame;
    damaged[bit / 8] =
        static_cast<char>(static_cast<unsigned char>(damaged[bit / 8]) ^ (1U << (bit % 8)));
    const auto decoded = decode_event(damaged);
    // An older version number is the one change that still reads: the checksum covers the payload.
    if (bit / 8 == 4 || bit / 8 == 5) continue;
    ASSERT_FALSE(decoded.has_value()) << bit;
  }
}

// With a right checksum, so that the payload's decoder meets the garbage itself.
TEST(Codec, AnyPayloadGivesAValueOrAnErrorInBoundedMemory) {
  Random random(1);
  const std::vector<Message> samples = sample_messages();
  for (int round = 0; round < 20'000; ++round) {
    std::string payload =
        encode(samples[random.bounded(samples.size())])->substr(kFrameHeaderBytes);
    const std::uint64_t changes = 1 + random.bounded(8);
    for (std::uint64_t i = 0; i < changes; ++i)
      payload[random.bounded(payload.size())] = static_cast<char>(random.bounded(256));
    if (random.bounded(4) == 0) payload.resize(random.bounded(payload.size() + 1));
    std::string frame = encode(samples[0])->substr(0, 8);
    for (const std::uint32_t word : {static_cast<std::uint32_t>(payload.size()), crc32c(payload)}) {
      for (int i = 0; i < 4; ++i) frame += static_cast<char>(word >> (8 * i));
    }
    const auto decoded = decode_message(frame + payload);
    if (!decoded) continue;
    EXPECT_TRUE(encode(*decoded).has_value());
  }
}

TEST(Codec, AnEventIsNoMessage) {
  EXPECT_FALSE(decode_message(*encode(sample_events().at(0))).has_value());
}

TEST(Codec, ChecksumsByInstructionAndByTablesAreTheSame) {
  Random random(7);
  std::string bytes;
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(crc32c(bytes, static_cast<std::uint32_t>(i)),
              internal::crc32c_by_tables(bytes, static_cast<std::uint32_t>(i)));
    bytes += static_cast<char>(random.bounded(256));
  }
  EXPECT_EQ(internal::crc32c_by_tables("123456789"), 0xE3069283U);
}

TEST(Codec, ChecksumIsCastagnoli) { EXPECT_EQ(crc32c("123456789"), 0xE3069283U); }  // RFC 3720, B.4

}  // namespace
}  // namespace strata

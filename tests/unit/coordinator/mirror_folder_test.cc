#include "coordinator/mirror_folder.h"

#include <gtest/gtest.h>

#include <set>

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

struct MirrorFolderTest : testing::Test {
  MirrorFolder folder{make_temporary_folder(testing::TempDir(), "mirror").value()};
  fs::path file = folder.events_file(1);

  std::uint64_t write(const std::vector<std::string>& payloads, std::uint64_t offset = 0) const {
    RecordWriter writer = RecordWriter::open(file, offset).value();
    for (const std::string& payload : payloads) EXPECT_TRUE(writer.append(payload));
    EXPECT_TRUE(writer.finish());
    return writer.offset();
  }
  Result<std::vector<std::string>> read(std::uint64_t bytes) const {
    std::vector<std::string> payloads;
    STRATA_CHECK_OK(read_records(file, bytes, [&](std::string_view payload) -> Status {
      payloads.emplace_back(payload);
      return {};
    }));
    return payloads;
  }
};

TEST_F(MirrorFolderTest, RecordsAreReadBackAsTheyWereWrittenWhateverTheirSize) {
  std::vector<std::string> payloads{"", "a", std::string(3'000'000, 'x')};
  for (std::size_t i = 0; i < 3'000; ++i) payloads.emplace_back(i, static_cast<char>(i));
  EXPECT_EQ(read(write(payloads)).value(), payloads);
}

TEST_F(MirrorFolderTest, OnlyTheBytesThatAreCountedAreThere) {
  const std::uint64_t counted = write({"one", "two"});
  write({"three"}, counted);
  EXPECT_EQ(read(counted).value(), (std::vector<std::string>{"one", "two"}));
  // What a pass that failed left behind is written over.
  const std::uint64_t again = write({"other"}, counted);
  EXPECT_EQ(read(again).value(), (std::vector<std::string>{"one", "two", "other"}));
}

TEST_F(MirrorFolderTest, AChangedByteAnywhereIsFoundAndACutFileToo) {
  const std::uint64_t size = write({"first", "second"});
  const std::string whole = read_file(file).value();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string bytes = whole;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x10);
    ASSERT_TRUE(write_file_atomic(file, bytes));
    const auto got = read(size);
    ASSERT_FALSE(got) << "byte " << i;
    EXPECT_EQ(got.error().code, ErrorCode::kDamaged);
  }
  ASSERT_TRUE(write_file_atomic(file, whole.substr(0, size - 1)));
  EXPECT_EQ(read(size).error().code, ErrorCode::kDamaged);
  EXPECT_FALSE(RecordWriter::open(file, size)) << "no hole is written";
}

TEST_F(MirrorFolderTest, PointsAndEventsSurviveTheirRecords) {
  const PointRecord point{.task = "ab",
                          .attempt = 2,
                          .sequence = 3,
                          .step = -4,
                          .total = 5,
                          .at_ms = 6,
                          .metrics = R"({"loss":"NaN"})"};
  EXPECT_EQ(parse_point_payload(point_payload(point)).value(), point);
  PointRecord open_ended = point;
  open_ended.total.reset();
  EXPECT_EQ(parse_point_payload(point_payload(open_ended)).value(), open_ended);
  EXPECT_FALSE(parse_point_payload("ab\t2\tx\t4\t5\t6\t{}"));
  EXPECT_FALSE(parse_point_payload("ab\t2"));
  const auto event =
      parse_event_payload(event_payload({.seq = 7, .chain = 8, .frame = "frame"})).value();
  EXPECT_EQ(event.seq, 7U);
  EXPECT_EQ(event.chain, 8U);
}

TEST_F(MirrorFolderTest, TheStateIsReadBackAndNoStateIsNoError) {
  EXPECT_FALSE(folder.state().value());
  const MirrorState state{.coordinator = "name",
                          .life = 3,
                          .keeper = this_process(),
                          .clean = true,
                          .every_ms = 100,
                          .written_ms = 5,
                          .last_seq = 9,
                          .chain = 4'000'000'000,
                          .segments = {{.life = 1, .events_bytes = 7, .metrics_bytes = 8}}};
  ASSERT_TRUE(folder.set_state(state));
  EXPECT_EQ(folder.state().value(), state);
  EXPECT_EQ(folder.check_files(state).error().code, ErrorCode::kDamaged);
  ASSERT_TRUE(write_file_atomic(folder.path() / "mirror.json", "{}"));
  EXPECT_EQ(folder.state().error().code, ErrorCode::kDamaged);
}

TEST_F(MirrorFolderTest, TwoCoordinatorsNeverHaveTheSameLife) {
  std::set<std::uint64_t> lives;
  for (int i = 0; i < 5; ++i) lives.insert(folder.claim_life(7).value());
  EXPECT_EQ(lives, (std::set<std::uint64_t>{8, 9, 10, 11, 12}));
}

TEST_F(MirrorFolderTest, AKeeperOfThisMachineCountsAsLongAsItsProcessLives) {
  MirrorState state{.keeper = this_process()};
  ASSERT_TRUE(folder.set_state(state));
  const Status refused = folder.refuse_while_kept(state);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kConflict);
  EXPECT_NE(refused.error().message.find(this_process().text()), std::string::npos);
  state.keeper.since = "1";  // another process had this number
  EXPECT_TRUE(folder.refuse_while_kept(state));
  state.keeper = this_process();
  state.keeper.boot = "the one before";
  EXPECT_TRUE(folder.refuse_while_kept(state)) << "a machine that was started anew need not wait";
}

TEST_F(MirrorFolderTest, AKeeperElsewhereCountsUntilItHasBeenSilentForThreeIntervals) {
  MirrorState state{.keeper = {.host = "node-9", .boot = "b", .pid = 5, .since = "6"},
                    .every_ms = 30'000};
  ASSERT_TRUE(folder.set_state(state));
  const Status refused = folder.refuse_while_kept(state);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("process 5 on node-9"), std::string::npos);
  const auto silent_for = [&](std::chrono::seconds time) {
    const fs::path json = folder.path() / "mirror.json";
    fs::last_write_time(json, fs::file_time_type::clock::now() - time);
  };
  silent_for(std::chrono::seconds(60));
  EXPECT_FALSE(folder.refuse_while_kept(state));
  silent_for(std::chrono::seconds(120));
  EXPECT_TRUE(folder.refuse_while_kept(state));
  silent_for(std::chrono::seconds(0));
  state.clean = true;
  EXPECT_TRUE(folder.refuse_while_kept(state)) << "one that has ended keeps nothing";
}

}  // namespace
}  // namespace strata::coordinator

#include "trainer/held_out_record.h"

#include <gtest/gtest.h>

#include <set>

namespace strata::trainer {
namespace {

const HeldOutSchedule kTenUpdates{.updates = 10, .early = 2, .every = 4};

const std::vector<std::string> kIds{"a", "b"};
const std::vector<HeldOutLoss> kLosses{{"a", 1.5, 1.75}, {"b", 2.5, 2.25}};

NamedTensors average_of(float value) {
  return {{"backbone.w", torch::full({2}, value)}, {"text_aligner.w", torch::full({3}, value)}};
}

TEST(HeldOutRecord, SaysWhatEachUpdateOwes) {
  HeldOutRecord record(kTenUpdates, kIds);
  std::map<std::int64_t, std::string> owed;
  for (std::int64_t update = 1; update <= 10; ++update) {
    record.after_update(update);
    const auto due = record.due(update);
    if (due.early) owed[update] += "early ";
    if (due.periodic) owed[update] += "periodic ";
    if (due.last) owed[update] += "last ";
    record.keep(due, update, kLosses, average_of(1));
    EXPECT_FALSE(record.due(update).any()) << "kept: nothing is owed";
  }
  EXPECT_EQ(owed, (std::map<std::int64_t, std::string>{
                      {2, "early "}, {4, "periodic "}, {8, "periodic "}, {10, "last "}}));
}

TEST(HeldOutRecord, OneMeasurementPaysForAllThatIsDueAtAnUpdate) {
  HeldOutRecord record({.updates = 1, .early = 1, .every = 1}, kIds);
  record.after_update(1);
  const auto due = record.due(1);
  EXPECT_TRUE(due.early && due.last);
  EXPECT_FALSE(due.periodic) << "the last one stands for it";
  record.keep(due, 1, kLosses, average_of(1));
  EXPECT_FALSE(record.due(1).any());
  EXPECT_EQ(record.lines().size(), 4U);
}

// As a checkpoint carries it from one life to the next.
HeldOutRecord next_life(const HeldOutRecord& record, const HeldOutSchedule& schedule,
                        const std::vector<std::string>& ids = kIds) {
  HeldOutRecord next(schedule, ids);
  const auto status = next.restore(record.tensors(), record.early_lines(), record.periodic_due());
  EXPECT_TRUE(status.has_value());
  return next;
}

TEST(HeldOutRecord, WhatIsOwedOutlivesAStop) {
  const HeldOutSchedule schedule{.updates = 10, .early = 4, .every = 4};
  HeldOutRecord first(schedule, kIds);
  first.after_update(4);
  HeldOutRecord second = next_life(first, schedule);
  const auto due = second.due(4);
  EXPECT_TRUE(due.early && due.periodic);
  second.keep(due, 4, kLosses, average_of(1));
  const HeldOutRecord third = next_life(second, schedule);
  EXPECT_FALSE(third.due(4).any());
  EXPECT_EQ(Value(third.lines()), Value(second.lines()));
}

// Makes the updates from `from` on, with losses of their own.
void make_updates(HeldOutRecord& record, std::int64_t from, std::int64_t to) {
  for (std::int64_t update = from; update <= to; ++update) {
    record.after_update(update);
    const double loss = 1.0 / static_cast<double>(update);
    record.keep(record.due(update), update, {{"a", loss, loss + 1}, {"b", 2 * loss, loss + 2}},
                average_of(1));
  }
}

std::vector<std::string> told(const HeldOutRecord& record) {
  std::vector<std::string> lines;
  for (const Value& line : record.lines()) {
    lines.push_back(fmt::format("{} {} {}", *line.find("which")->if_string(),
                                *line.find("update")->if_number()->to_integer(),
                                *line.find("id")->if_string()));
  }
  return lines;
}

TEST(HeldOutRecord, LinesAreThoseOfEveryMeasurementInOrder) {
  HeldOutRecord record(kTenUpdates, kIds);
  make_updates(record, 1, 10);
  EXPECT_EQ(told(record),
            (std::vector<std::string>{"early 2 a", "early 2 b", "periodic 4 a", "periodic 4 b",
                                      "periodic 8 a", "periodic 8 b", "last 10 a", "last 10 b"}));
  EXPECT_EQ(record.lines()[5], Value(Object{{"id", "b"},
                                            {"update", 8},
                                            {"which", "periodic"},
                                            {"loss", 0.25},
                                            {"loss_permuted", 2.125}}));
}

TEST(HeldOutRecord, TheLinesOfSeveralLivesAreThoseOfOne) {
  HeldOutRecord whole(kTenUpdates, kIds);
  make_updates(whole, 1, 10);
  for (std::int64_t stop = 1; stop < 10; ++stop) {
    HeldOutRecord first(kTenUpdates, kIds);
    make_updates(first, 1, stop);
    HeldOutRecord second = next_life(first, kTenUpdates);
    make_updates(second, stop + 1, 10);
    EXPECT_EQ(Value(second.lines()), Value(whole.lines())) << "stopped after " << stop;
  }
}

TEST(HeldOutRecord, LossesOfOtherUtterancesAreRefused) {
  HeldOutRecord first(kTenUpdates, kIds);
  make_updates(first, 1, 5);
  HeldOutRecord other(kTenUpdates, {"a", "b", "c"});
  const auto status = other.restore(first.tensors(), {}, false);
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().message,
            "the checkpoint has held-out losses of 2 utterances, the corpus holds out 3");
  for (const std::vector<std::string>& ids :
       std::vector<std::vector<std::string>>{{"a", "c"}, {"a"}, {"a", "b", "c"}, {"b", "a"}}) {
    HeldOutRecord third(kTenUpdates, ids);
    const auto refused = third.restore({}, first.early_lines(), false);
    ASSERT_FALSE(refused.has_value()) << ids.size();
    EXPECT_NE(refused.error().message.find("it is of another corpus"), std::string::npos);
  }
  NamedTensors half = first.tensors();
  half.erase("held_out.updates");
  EXPECT_FALSE(other.restore(half, {}, false).has_value());
}

TEST(HeldOutRecord, MoreLinesThanTheLimitAreThinnedEvenly) {
  // 24 measurements of 2 utterances: every third of them makes 16 lines.
  const HeldOutSchedule schedule{.updates = 100, .early = 20, .every = 4, .lines_max = 16};
  HeldOutRecord record(schedule, kIds);
  make_updates(record, 1, 100);
  std::set<std::int64_t> kept;
  for (const Value& line : record.lines()) {
    if (*line.find("which")->if_string() == "periodic")
      kept.insert(*line.find("update")->if_number()->to_integer());
  }
  EXPECT_EQ(kept, (std::set<std::int64_t>{12, 24, 36, 48, 60, 72, 84, 96}));
}

TEST(HeldOutRecord, KeepsACopyOfTheBackboneAsItWasEarly) {
  HeldOutRecord record(kTenUpdates, kIds);
  NamedTensors average = average_of(3);
  record.after_update(2);
  record.keep(record.due(2), 2, kLosses, average);
  average.at("backbone.w").fill_(4);
  ASSERT_EQ(record.early_weights().size(), 1U) << "no heads";
  EXPECT_TRUE(torch::equal(record.early_weights().at("w"), torch::full({2}, 3.0F)));
}

}  // namespace
}  // namespace strata::trainer

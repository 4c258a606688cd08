#include "trainer/held_out_record.h"

#include <gtest/gtest.h>

namespace strata::trainer {
namespace {

const HeldOutSchedule kTenUpdates{.updates = 10, .early = 2, .every = 4};

const std::vector<HeldOutLoss> kLosses{{"a", 1.5, 1.75}, {"b", 2.5, 2.25}};

NamedTensors average_of(float value) {
  return {{"backbone.w", torch::full({2}, value)}, {"text_aligner.w", torch::full({3}, value)}};
}

TEST(HeldOutRecord, SaysWhatEachUpdateOwes) {
  HeldOutRecord record(kTenUpdates);
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
  HeldOutRecord record({.updates = 1, .early = 1, .every = 1});
  record.after_update(1);
  const auto due = record.due(1);
  EXPECT_TRUE(due.early && due.last);
  EXPECT_FALSE(due.periodic) << "the last one stands for it";
  record.keep(due, 1, kLosses, average_of(1));
  EXPECT_FALSE(record.due(1).any());
  EXPECT_EQ(record.lines().size(), 4U);
}

TEST(HeldOutRecord, WhatIsOwedOutlivesAStop) {
  HeldOutRecord first({.updates = 10, .early = 4, .every = 4});
  first.after_update(4);
  HeldOutRecord second({.updates = 10, .early = 4, .every = 4});
  second.restore(first.lines(), first.early_weights(), first.periodic_due());
  const auto due = second.due(4);
  EXPECT_TRUE(due.early && due.periodic);
  second.keep(due, 4, kLosses, average_of(1));
  HeldOutRecord third({.updates = 10, .early = 4, .every = 4});
  third.restore(second.lines(), second.early_weights(), second.periodic_due());
  EXPECT_FALSE(third.due(4).any());
  EXPECT_EQ(Value(third.lines()), Value(second.lines()));
}

TEST(HeldOutRecord, KeepsACopyOfTheBackboneAsItWasEarly) {
  HeldOutRecord record(kTenUpdates);
  NamedTensors average = average_of(3);
  record.after_update(2);
  record.keep(record.due(2), 2, kLosses, average);
  average.at("backbone.w").fill_(4);
  ASSERT_EQ(record.early_weights().size(), 1U) << "no heads";
  EXPECT_TRUE(torch::equal(record.early_weights().at("w"), torch::full({2}, 3.0F)));
}

}  // namespace
}  // namespace strata::trainer

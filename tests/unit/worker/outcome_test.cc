#include "worker/outcome.h"

#include <gtest/gtest.h>

#include <csignal>

namespace strata::worker {
namespace {

EndedProgram with_code(int code) {
  return {.how = {.exit = {.code = code}}, .last_log_line = "last words"};
}
EndedProgram with_signal(int signal) {
  return {.how = {.exit = {.signal = signal}}, .last_log_line = "last words"};
}

FailureClass cause_of(const EndedProgram& ended) {
  const auto outcome = outcome_of(ended);
  EXPECT_TRUE(outcome && std::holds_alternative<Failed>(*outcome));
  return std::get<Failed>(*outcome).cause;
}

TEST(Outcome, CodeZeroLeavesItToTheOutputs) { EXPECT_FALSE(outcome_of(with_code(0))); }

TEST(Outcome, AFailureIsTheUsersWithTheLastLineOfTheLog) {
  EXPECT_EQ(std::get<Failed>(*outcome_of(with_code(1))),
            (Failed{.cause = FailureClass::kUser, .reason = "exit code 1: last words"}));
  EXPECT_EQ(cause_of(with_code(77)), FailureClass::kUser);
  EXPECT_EQ(std::get<Failed>(*outcome_of(with_signal(SIGSEGV))).reason,
            "signal 11 (Segmentation fault): last words");
}

TEST(Outcome, CodesTwoAndThreeMeanWhatTheContractSaysEvenAfterARequestToStop) {
  for (const bool asked : {false, true}) {
    auto two = with_code(2);
    auto three = with_code(3);
    if (asked) two.asked_to_stop = three.asked_to_stop = "drain";
    EXPECT_EQ(cause_of(two), FailureClass::kInvalid);
    EXPECT_TRUE(std::holds_alternative<Diverged>(*outcome_of(three)));
  }
}

TEST(Outcome, WhatWeAskedToStopIsStoppedHoweverItEnded) {
  for (auto ended : {with_code(4), with_code(1), with_signal(SIGTERM), with_signal(SIGKILL)}) {
    ended.asked_to_stop = "the sweep was cancelled";
    EXPECT_EQ(*outcome_of(ended), Outcome(Stopped{.reason = "the sweep was cancelled"}));
  }
}

TEST(Outcome, StoppedByOthersIsNotChargedToTheTask) {
  EXPECT_EQ(cause_of(with_code(4)), FailureClass::kInfra);
}

TEST(Outcome, ALostRankOrMpirunIsNotChargedToTheTask) {
  auto rank = with_code(128 + SIGKILL);
  EXPECT_EQ(cause_of(rank), FailureClass::kUser) << "without ranks it is just an exit code";
  rank.ranks = true;
  EXPECT_EQ(cause_of(rank), FailureClass::kInfra);
  auto mpirun = with_signal(SIGKILL);
  mpirun.ranks = true;
  EXPECT_EQ(cause_of(mpirun), FailureClass::kInfra);
  auto crashed = with_code(128 + SIGSEGV);
  crashed.ranks = true;
  EXPECT_EQ(cause_of(crashed), FailureClass::kUser) << "a rank that crashed is the program's fault";
}

TEST(Outcome, ALostGuardIsNotChargedToTheTask) {
  EXPECT_EQ(cause_of({.how = {.guard_lost = true}}), FailureClass::kInfra);
}

TEST(Recorded, AFlatMapOfTextsAndNumbersIsTaken) {
  const auto recorded = parse_recorded(R"({"build": "abc", "threads": 2, "torch": "2.13"})");
  ASSERT_TRUE(recorded);
  EXPECT_EQ(*recorded, (std::map<std::string, std::string>{
                           {"build", "abc"}, {"threads", "2"}, {"torch", "2.13"}}));
  EXPECT_FALSE(parse_recorded(R"({"deep": {}})"));
  EXPECT_FALSE(parse_recorded("[]"));
  EXPECT_FALSE(parse_recorded(R"({"long": ")" + std::string(kRecordedBytesMax + 1, 'x') + "\"}"));
}

}  // namespace
}  // namespace strata::worker

#include "worker/outcome.h"

#include <gtest/gtest.h>

#include <csignal>

namespace strata::worker {
namespace {

std::vector<LogLine> log_of(const std::string& text) { return log_tail(text); }

EndedProgram with_code(int code, const std::string& log = "last words") {
  return {.how = {.exit = {.code = code}}, .evidence = {.log = log_of(log)}};
}
EndedProgram with_signal(int signal, const std::string& log = "last words") {
  return {.how = {.exit = {.signal = signal}}, .evidence = {.log = log_of(log)}};
}

std::optional<Outcome> outcome(const EndedProgram& ended, const std::vector<LogRule>& own = {}) {
  return outcome_of(ended, policy_of(own));
}

Failed failure(const EndedProgram& ended, const std::vector<LogRule>& own = {}) {
  const auto found = outcome(ended, own);
  EXPECT_TRUE(found && std::holds_alternative<Failed>(*found));
  return found && std::holds_alternative<Failed>(*found) ? std::get<Failed>(*found) : Failed{};
}
FailureClass cause_of(const EndedProgram& ended) { return failure(ended).cause; }

TEST(Outcome, CodeZeroLeavesItToTheOutputs) { EXPECT_FALSE(outcome(with_code(0))); }

TEST(Outcome, AFailureIsTheUsersWithTheLastLineOfTheLog) {
  EXPECT_EQ(failure(with_code(1)), (Failed{.cause = FailureClass::kUser,
                                           .reason = "exit code 1: last words",
                                           .signature = "exit code 1: last words"}));
  EXPECT_EQ(cause_of(with_code(77)), FailureClass::kUser);
  EXPECT_EQ(failure(with_signal(SIGSEGV)).reason, "signal 11 (Segmentation fault): last words");
  EXPECT_EQ(failure(with_code(1, "")).signature, "exit code 1");
}

TEST(Outcome, AFailureSaysAtWhichStepItWasAndHasASignatureWithoutWhatVaries) {
  auto first = with_code(1,
                         "Traceback (most recent call last):\n  File \"/a/b.py\", line 3\n"
                         "KeyError: 'utt-0017' in /data/4/list.jsonl\n");
  first.step = 120;
  auto again = with_code(1,
                         "other lines\nTraceback (most recent call last):\n  File \"/c.py\"\n"
                         "KeyError: 'utt-0391' in /scratch/9/list.jsonl\nbye\n");
  EXPECT_EQ(failure(first).step, 120);
  EXPECT_EQ(failure(again).step, -1);
  EXPECT_EQ(failure(first).signature, "exit code 1: KeyError: 'utt-#' in <path>");
  EXPECT_EQ(failure(first).signature, failure(again).signature);
  EXPECT_EQ(failure(again).reason, "exit code 1: KeyError: 'utt-0391' in /scratch/9/list.jsonl")
      << "the exception, not what was printed behind it";
  auto crashed = first;
  crashed.how.exit = {.signal = SIGABRT};
  EXPECT_NE(failure(crashed).signature, failure(first).signature);
}

TEST(Outcome, CodesTwoAndThreeMeanWhatTheContractSaysWhateverTheLogSays) {
  for (const bool asked : {false, true}) {
    auto two = with_code(2, "CUDA out of memory");
    auto three = with_code(3, "No space left on device");
    if (asked) two.asked_to_stop = three.asked_to_stop = "drain";
    EXPECT_EQ(cause_of(two), FailureClass::kInvalid);
    EXPECT_EQ(*outcome(three),
              Outcome(Diverged{.reason = "exit code 3 (diverged): No space left on device"}));
  }
}

TEST(Outcome, TheLogPolicyDecidesWhoIsToBlame) {
  const Failed memory = failure(with_code(
      1, "step 7\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 29.76 GiB\nbye"));
  EXPECT_EQ(memory.cause, FailureClass::kMemory);
  EXPECT_EQ(memory.reason,
            "exit code 1: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 29.76 GiB "
            "(rule cuda-out-of-memory)");
  EXPECT_EQ(memory.signature,
            "exit code 1: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate # GiB");
  EXPECT_EQ(cause_of(with_code(1, "OSError: [Errno 28] No space left on device")),
            FailureClass::kStorage);
  EXPECT_EQ(cause_of(with_signal(SIGABRT, "RuntimeError: CUDA error: uncorrectable ECC error")),
            FailureClass::kNode);
  const Failed import = failure(with_code(1, "ModuleNotFoundError: No module named 'yaml'"));
  EXPECT_EQ(import.cause, FailureClass::kUser);
  EXPECT_EQ(import.action, LogAction::kStop);
  EXPECT_EQ(cause_of(with_code(4, "OSError: [Errno 122] Disk quota exceeded")),
            FailureClass::kStorage)
      << "its checkpoint was not written";
}

TEST(Outcome, ARuleOfTheStageGoesFirst) {
  const std::vector<LogRule> own{{.name = "licence",
                                  .pattern = "no licence",
                                  .cause = FailureClass::kInfra,
                                  .action = LogAction::kAvoidWorker}};
  const auto ended = with_code(1, "No space left on device\nno licence left");
  const Failed failed = failure(ended, own);
  EXPECT_EQ(failed.cause, FailureClass::kInfra);
  EXPECT_EQ(failed.action, LogAction::kAvoidWorker);
  EXPECT_EQ(failure(ended).cause, FailureClass::kStorage);
  EXPECT_EQ(failure(ended, {{.name = "broken", .pattern = "("}}).cause, FailureClass::kStorage)
      << "rules that are none leave the shipped ones";
}

TEST(Outcome, AKillIsForWantOfMemoryWhenTheKernelCountedOne) {
  auto killed = with_signal(SIGKILL);
  EXPECT_EQ(cause_of(killed), FailureClass::kUser);
  killed.evidence.oom_kills = 1;
  EXPECT_EQ(cause_of(killed), FailureClass::kMemory);
  auto rank = with_code(128 + SIGKILL);
  rank.ranks = true;
  rank.evidence.oom_kills = 2;
  EXPECT_EQ(cause_of(rank), FailureClass::kMemory) << "not a lost rank: it would be lost again";
  EXPECT_EQ(cause_of({.how = {.guard_lost = true}, .evidence = {.oom_kills = 1}}),
            FailureClass::kMemory);
  auto other = with_code(1);
  other.evidence.oom_kills = 1;
  EXPECT_EQ(cause_of(other), FailureClass::kUser)
      << "the group is shared: what was killed may have been another program";
}

TEST(Outcome, WhatTheKernelSaysOfADeviceIsTheNodesFault) {
  auto ended = with_code(1, "RuntimeError: CUDA error: unspecified launch failure");
  EXPECT_EQ(cause_of(ended), FailureClass::kUser);
  ended.evidence.kernel = {"NVRM: Xid (PCI:0000:3b:00): 79, pid=7, GPU has fallen off the bus."};
  EXPECT_EQ(cause_of(ended), FailureClass::kNode);
  EXPECT_NE(failure(ended).reason.find("the kernel says: NVRM: Xid"), std::string::npos);
  ended.evidence.kernel = {"NVRM: Xid (PCI:0000:3b:00): 31, pid=7, MMU Fault"};
  EXPECT_EQ(cause_of(ended), FailureClass::kUser) << "an illegal address is the program's own";
}

TEST(Outcome, WhatWeAskedToStopIsStoppedHoweverItEnded) {
  for (auto ended : {with_code(4), with_code(1), with_signal(SIGTERM), with_signal(SIGKILL),
                     with_code(1, "ncclRemoteError: remote process exiting prematurely"),
                     with_code(1, "ModuleNotFoundError: No module named 'x'"),
                     with_code(4, "CUDA out of memory"), with_signal(SIGTERM, "CUDA out of memory"),
                     with_code(1, "slurmstepd: error: *** JOB 1 ON a CANCELLED AT now ***")}) {
    ended.asked_to_stop = "the sweep was cancelled";
    EXPECT_EQ(*outcome(ended), Outcome(Stopped{.reason = "the sweep was cancelled"}));
  }
}

TEST(Outcome, AnEndThatTheRequestDidNotCauseStaysAFailure) {
  auto full = with_code(1, "OSError: [Errno 28] No space left on device: 'checkpoints/7'");
  full.asked_to_stop = "preempted";
  EXPECT_EQ(cause_of(full), FailureClass::kStorage) << "its checkpoint could not be written";
  auto memory = with_signal(SIGABRT, "terminate called after throwing 'std::bad_alloc'");
  memory.asked_to_stop = "preempted";
  EXPECT_EQ(cause_of(memory), FailureClass::kMemory);
}

TEST(Outcome, OutputsThatARequestLeftUnwrittenAreNobodysFailure) {
  const Outcome missing = Failed{.cause = FailureClass::kUser, .reason = "not written"};
  EXPECT_EQ(after_request(missing, "drain"), Outcome(Stopped{.reason = "drain"}));
  EXPECT_EQ(after_request(missing, {}), missing);
  EXPECT_EQ(after_request(Succeeded{}, "drain"), Outcome(Succeeded{}));
  const Outcome disk = Failed{.cause = FailureClass::kStorage, .reason = "full"};
  EXPECT_EQ(after_request(disk, "drain"), disk);
}

TEST(Outcome, StoppedByOthersIsChargedToNobody) {
  auto ended = with_code(4);
  EXPECT_EQ(failure(ended).cause, FailureClass::kUser) << "there is nothing to go on from";
  ended.resumable = true;
  const Failed failed = failure(ended);
  EXPECT_EQ(failed.cause, FailureClass::kScheduled);
  EXPECT_EQ(charge_of(failed.cause), Charge::kNobody);
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

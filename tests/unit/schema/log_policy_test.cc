#include "schema/log_policy.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace strata {
namespace {

LogPolicy shipped() {
  auto policy = LogPolicy::make(with_shipped({}));
  EXPECT_TRUE(policy) << policy.error().message;
  return *policy;
}

std::string rule_for(const LogPolicy& policy, const std::string& line) {
  const auto rule = policy.rule_of(line);
  return rule ? policy.rules().at(*rule).name : "";
}

std::vector<LogLine> lines_of(const std::string& text) { return log_tail(text); }

TEST(ShippedPolicy, TheFileIsRightAndItsNamesAreUnique) {
  const auto rules = parse_policy(kDefaultPolicyText, "default_policy.yaml");
  ASSERT_TRUE(rules) << rules.error().message;
  EXPECT_GE(rules->size(), 30U);
}

TEST(ShippedPolicy, EveryRuleHasSamplesAndExactlyThisRuleTakesThem) {
  const LogPolicy policy = shipped();
  for (const WrittenRule& written : shipped_rules()) {
    EXPECT_FALSE(written.samples.empty()) << written.rule.name;
    for (const std::string& sample : written.samples)
      EXPECT_EQ(rule_for(policy, sample), written.rule.name) << sample;
  }
}

TEST(ShippedPolicy, NoOtherRuleTakesASampleEitherUnlessItSaysTheSame) {
  // A line may say two things; then the order decides, and both must be meant.
  const std::set<std::pair<std::string, std::string>> meant{
      {"cuda-out-of-memory", "nccl-warning"},  // the warning that names its cause
      {"shared-library", "python-import"},     // as Python says it
      {"slurm-time-limit", "slurm-cancelled"},
      {"slurm-preemption", "slurm-cancelled"},
      {"slurm-node-failure", "slurm-cancelled"}};
  for (const WrittenRule& written : shipped_rules()) {
    for (const WrittenRule& other : shipped_rules()) {
      if (other.rule.name == written.rule.name) continue;
      const LogPolicy alone = *LogPolicy::make({other.rule});
      for (const std::string& sample : written.samples) {
        if (!alone.rule_of(sample)) continue;
        EXPECT_TRUE(meant.contains({written.rule.name, other.rule.name}))
            << other.rule.name << " takes " << sample;
      }
    }
  }
}

TEST(ShippedPolicy, SaysOfEachKindOfTroubleWhoIsToBlame) {
  const std::map<std::string, FailureClass> expected{
      {"NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the "
       "bus.",
       FailureClass::kNode},
      {"CUDA out of memory. Tried to allocate 264.00 MiB", FailureClass::kMemory},
      {"OSError: [Errno 122] Disk quota exceeded", FailureClass::kStorage},
      {"slurmstepd: error: *** JOB 830329 ON n447 CANCELLED AT 2018-08-06T17:21:44 DUE TO TIME "
       "LIMIT ***",
       FailureClass::kScheduled},
      {"NCCL error in: ProcessGroupNCCL.cpp:410, unhandled system error, NCCL version 2.4.8",
       FailureClass::kInfra},
      {"RuntimeError: PytorchStreamReader failed locating file data.pkl", FailureClass::kData},
      {"ModuleNotFoundError: No module named 'yaml'", FailureClass::kUser}};
  const LogPolicy policy = shipped();
  for (const auto& [line, cause] : expected) {
    const auto rule = policy.rule_of(line);
    ASSERT_TRUE(rule) << line;
    EXPECT_EQ(policy.rules().at(*rule).cause, cause) << line;
  }
}

TEST(ShippedPolicy, TakesNothingThatAHealthyTrainingPrints) {
  const std::vector<std::string> ordinary{
      "step 1200/20000  loss 0.5113  lr 4.9e-04  910.3 frames/s  mem 11.2 GiB",
      "Epoch 3:  42%|####      | 420/1000 [01:12<01:39,  5.83it/s, loss=2.60]",
      "gpu-2:812:812 [0] NCCL INFO Bootstrap : Using eth0:10.0.0.2<0>",
      "gpu-2:812:901 [0] NCCL INFO Call to connect returned Connection refused, retrying",
      "gpu-2:812:901 [0] NCCL INFO Connected all rings",
      "NCCL version 2.29.7+cuda13.0",
      "gpu-2:812:812 [0] NCCL WARN MSCCL++: Cannot open config, using defaults",
      "torch.cuda.max_memory_allocated: 31.2 GiB; set PYTORCH_CUDA_ALLOC_CONF to avoid "
      "fragmentation",
      "UserWarning: The given NumPy array is not writable",
      "FutureWarning: You are using `torch.load` with `weights_only=False`",
      "saved checkpoint to checkpoints/00000200 (412 MB)",
      "resumed at step 200 from /shared/artifacts/4f2a",
      "validation: wer 0.031 errors 12 of 388 words",
      "NVRM: Xid (PCI:0000:3b:00): 31, pid=2217, name=python, Ch 00000008, intr 00000000. MMU "
      "Fault",
      "NVRM: Xid (PCI:0000:3b:00): 13, pid=2217, name=python, Graphics Exception: ESR 0x505730",
      "RuntimeError: The size of tensor a (64) must match the size of tensor b (80)",
      "AssertionError: mel has 79 bands",
      "[rank0]: Traceback (most recent call last):",
      "  File \"/home/me/tts/train.py\", line 118, in <module>",
      "KeyError: 'text'",
      "Segmentation fault (core dumped)",
      "DataLoader: 8 workers, 0 killed by user",
      "RuntimeError: DataLoader worker (pid 23616) is killed by signal: Terminated.",
      "try: import apex  # ImportError is fine here",
      "loaded 12 GPUs worth of features, no errors",
      "mpirun noticed that process rank 0 with PID 2201 on node gpu-2 exited on signal 11 "
      "(Segmentation fault).",
      "mpirun noticed that process rank 0 with PID 2201 on node gpu-2 exited on signal 6 "
      "(Aborted).",
      "wall time limit of this run: 04:00:00",
      "disk: 1.2 TB free on device /dev/nvme0n1",
      "received SIGTERM, writing a checkpoint"};
  const LogPolicy policy = shipped();
  for (const std::string& line : ordinary) EXPECT_EQ(rule_for(policy, line), "") << line;
}

TEST(LogPolicy, TheFirstRuleInOrderCountsWhereverItsLineStands) {
  const LogPolicy policy =
      *LogPolicy::make({{.name = "cause", .pattern = "disk is gone", .cause = FailureClass::kNode},
                        {.name = "echo", .pattern = "rank [0-9]+ lost"}});
  const auto lines = lines_of("rank 3 lost\nrank 1 lost\nthe disk is gone\nrank 2 lost\n");
  EXPECT_EQ(policy.judge(lines), (LogPolicy::Match{.rule = 0, .line = 2}));
  EXPECT_EQ(policy.judge(lines_of("rank 3 lost\nrank 1 lost\n")),
            (LogPolicy::Match{.rule = 1, .line = 0}))
      << "of one rule the first line";
  EXPECT_FALSE(policy.judge(lines_of("all is well\n")));
  EXPECT_FALSE(policy.judge({}));
}

TEST(LogPolicy, AnOwnRuleGoesBeforeTheShippedOnesAndReplacesTheOneOfItsName) {
  const LogRule own{.name = "disk-full",
                    .pattern = "No space left on device",
                    .cause = FailureClass::kUser,
                    .action = LogAction::kStop};
  const auto rules = with_shipped({own});
  EXPECT_EQ(rules.front(), own);
  EXPECT_EQ(rules.size(), shipped_rules().size());
  const LogPolicy policy = *LogPolicy::make(rules);
  EXPECT_EQ(policy.rules().at(*policy.rule_of("[Errno 28] No space left on device")).cause,
            FailureClass::kUser);
  EXPECT_EQ(with_shipped({{.name = "mine", .pattern = "x"}}).size(), shipped_rules().size() + 1);
}

TEST(LogPolicy, APatternThatIsNoneOrTakesEverythingOrCostsTooMuchIsRefused) {
  EXPECT_TRUE(check_pattern("loss is (nan|inf)"));
  for (const char* wrong : {"", "(", "a*", "x|", "(a)\\1", "(?<=a)b", "((a{999}){999}){999}"})
    EXPECT_FALSE(check_pattern(wrong)) << wrong;
  EXPECT_FALSE(check_pattern(std::string(kLogPatternBytesMax + 1, 'a')));
  const auto policy = LogPolicy::make({{.name = "broken", .pattern = "("}});
  ASSERT_FALSE(policy);
  EXPECT_NE(policy.error().message.find("rule broken"), std::string::npos);
}

TEST(LogPolicy, AHostileLogMeetsAHostilePatternAndTheAnswerComes) {
  // Backtracking engines need longer than the universe for this one.
  const LogPolicy policy = *LogPolicy::make({{.name = "hostile", .pattern = "(a+)+(a+)+(a+)+$b"}});
  std::string text;
  while (text.size() < kLogTailBytesMax) text += std::string(4'000, 'a') + "\n";
  EXPECT_FALSE(policy.judge(lines_of(text)));
}

TEST(LogTail, KnowsTheNumbersOfItsLinesAndLeavesOutWhatSaysNothing) {
  EXPECT_EQ(lines_of("one\n\n-----\n 10%\r 20%\rthree\nfour"),
            (std::vector<LogLine>{{.number = 1, .text = "one"},
                                  {.number = 4, .text = " 10%"},
                                  {.number = 4, .text = " 20%"},
                                  {.number = 4, .text = "three"},
                                  {.number = 5, .text = "four"}}));
  EXPECT_TRUE(lines_of("").empty());
}

TEST(LogTail, IsBoundedInBytesLinesAndLineLengthAndIsText) {
  std::string text = "first\n" + std::string(kLogTailBytesMax, 'x') + "\nlast\n";
  auto lines = lines_of(text);
  ASSERT_EQ(lines.size(), 1U) << "of the long line only the end is left, so it is left out";
  EXPECT_EQ(lines[0], (LogLine{.number = 3, .text = "last"}));
  text.clear();
  for (std::size_t i = 0; i < kLogTailLinesMax + 10; ++i) text += "line\n";
  lines = lines_of(text);
  EXPECT_EQ(lines.size(), kLogTailLinesMax);
  EXPECT_EQ(lines.back().number, static_cast<std::int64_t>(kLogTailLinesMax + 10));
  EXPECT_EQ(lines_of(std::string(2 * kLogLineBytesMax, 'y')).at(0).text.size(), kLogLineBytesMax);
  EXPECT_EQ(lines_of("bad \xff byte").at(0).text, "bad \xef\xbf\xbd byte");
}

TEST(Taxonomy, SaysForEachClassWhoIsChargedAndWhatFollows) {
  EXPECT_STREQ(charged_to(FailureClass::kUser), "the task (retry.failures)");
  EXPECT_STREQ(charged_to(FailureClass::kMemory), "the task (retry.failures)");
  EXPECT_STREQ(charged_to(FailureClass::kNode), "the infrastructure (retry.lost)");
  EXPECT_STREQ(charged_to(FailureClass::kScheduled), "nobody");
  EXPECT_EQ(what_follows(FailureClass::kUser, LogAction::kStop), "the task fails: no retry");
  EXPECT_EQ(what_follows(FailureClass::kInfra, LogAction::kAvoidWorker),
            "tried again from its last checkpoint, elsewhere if it can; it avoids this worker");
  EXPECT_EQ(what_follows(FailureClass::kNode, LogAction::kQuarantineWorker),
            what_follows(FailureClass::kNode, LogAction::kNone));
}

}  // namespace
}  // namespace strata

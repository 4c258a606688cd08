#include "worker/signature.h"

#include <gtest/gtest.h>

namespace strata::worker {
namespace {

std::string telling(const std::string& text) { return telling_line(log_tail(text)); }

TEST(TellingLine, IsTheLastOneThatSaysSomething) {
  EXPECT_EQ(telling("one\nValueError: bad shape\n-------\n\n"), "ValueError: bad shape");
  EXPECT_EQ(telling(""), "");
  EXPECT_EQ(telling("\n \n----\n"), "");
}

TEST(TellingLine, OfAPythonTracebackIsTheExceptionWhateverComesBehind) {
  EXPECT_EQ(telling("Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\n"
                    "    f()\nRuntimeError: Error(s) in loading state_dict for Net:\n"
                    "\tMissing key(s): \"a\"\nclosing down\n"),
            "RuntimeError: Error(s) in loading state_dict for Net:");
  EXPECT_EQ(telling("Traceback (most recent call last):\n  File \"a.py\"\nKeyError: 'a'\n\n"
                    "During handling of the above exception, another exception occurred:\n\n"
                    "Traceback (most recent call last):\n  File \"b.py\"\nValueError: b\n"),
            "ValueError: b")
      << "the last one is what ended it";
}

TEST(TellingLine, ReadsTheTracebackOfOneRankAmongTheLinesOfOthers) {
  EXPECT_EQ(telling("[rank1]: Traceback (most recent call last):\n[rank0]: still working\n"
                    "[rank1]:   File \"a.py\", line 1\n[rank0]: step 8\n"
                    "[rank1]: AssertionError: mel has 79 bands\n[rank0]: step 9\n"),
            "AssertionError: mel has 79 bands");
  EXPECT_EQ(telling("[1,0]<stderr>:Traceback (most recent call last):\n"
                    "[1,0]<stderr>:  File \"a.py\"\n[1,0]<stderr>:ZeroDivisionError: division\n"),
            "ZeroDivisionError: division");
}

TEST(TellingLine, ATracebackWithoutItsEndLeavesTheLastLine) {
  EXPECT_EQ(telling("Traceback (most recent call last):\n  File \"a.py\", line 1\n    f()\n"),
            "    f()");
}

TEST(TellingLine, IsNotWhatMpirunSaysOfEveryEnd) {
  EXPECT_EQ(telling("loss 0.4\nerror: bad corpus\n"
                    "--------------------------------------------------------------------------\n"
                    "Primary job  terminated normally, but 1 process returned\n"
                    "a non-zero exit code. Per user-direction, the job has been aborted.\n"
                    "--------------------------------------------------------------------------\n"
                    "mpirun detected that one or more processes exited with non-zero status, thus "
                    "causing\nthe job to be terminated. The first process to do so was:\n\n"
                    "  Process name: [[11377,1],0]\n  Exit code:    1\n"),
            "error: bad corpus");
}

TEST(Normalised, TakesOutWhatVariesAndNothingElse) {
  EXPECT_EQ(normalised("loss 0.51 at step 1200, lr 1e-05"), "loss # at step #, lr #");
  EXPECT_EQ(normalised("illegal access at 0x7f3b6d41df86 in f"), "illegal access at # in f");
  EXPECT_EQ(normalised("task 4f2a9c0112345678 failed"), "task # failed");
  EXPECT_EQ(normalised("deadbeef is a word, deadbee1 a hash"), "deadbeef is a word, # a hash");
  EXPECT_EQ(normalised("[Errno 2] No such file: '/data/a b/x.wav'"),
            "[Errno #] No such file: '<path> b/x.wav'");
  EXPECT_EQ(normalised("File \"/home/me/tts/train.py\", line 118"), "File \"<path>\", line #");
  EXPECT_EQ(normalised("either/or and 3/4 of 10 GiB"), "either/or and #/# of # GiB");
  EXPECT_EQ(normalised("2026-11-22 11:02:03 died"), "# # died");
  EXPECT_EQ(normalised("shape (64, 80)"), "shape (#, #)");
  EXPECT_EQ(normalised("plain words"), "plain words");
  EXPECT_EQ(normalised(""), "");
}

TEST(Normalised, IsBoundedAndText) {
  EXPECT_EQ(normalised(std::string(5'000, 'x')).size(), kSignatureBytesMax);
  EXPECT_EQ(normalised("bad \xff"), "bad \xef\xbf\xbd");
}

}  // namespace
}  // namespace strata::worker

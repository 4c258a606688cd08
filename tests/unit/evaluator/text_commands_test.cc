#include "evaluator/text_commands.h"

#include <gmock/gmock.h>

#include <sstream>

#include "base/json.h"
#include "base/subprocess.h"
#include "tests/unit/evaluator/golden_rows.h"
#include "tests/unit/evaluator/scratch_folder.h"

namespace strata::evaluator {
namespace {

using testing::HasSubstr;

const ProtocolInfo kPlain = find_protocol("plain").value();
const ProtocolInfo kF5 = find_protocol("f5").value();

class TextCommands : public ScratchFolder {};

TEST_F(TextCommands, ATableGivesARowOfCountsAndMeasuresForEachPair) {
  std::string table = "hypothesis\tid\treference\n";
  const auto rows = golden_rows("word_errors.jsonl");
  for (const Value& row : rows)
    table += text_at(row, "hypothesis") + "\tx\t" + text_at(row, "reference") + "\n";
  const std::string out = wer_of_table(write("t.tsv", table), kPlain, TableFormat::kTsv).value();
  std::istringstream lines(out);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "substitutions\tdeletions\tinsertions\thits\twer\tmer\twil\twip\tcer");
  for (const Value& row : rows) {
    std::getline(lines, line);
    std::istringstream cells(line);
    for (const std::int64_t wanted : integers_at(row, "words")) {
      std::int64_t cell = -1;
      cells >> cell;
      EXPECT_EQ(cell, wanted);
    }
    for (const char* name : {"wer", "mer", "wil", "wip", "cer"}) {
      double cell = -1;
      cells >> cell;
      EXPECT_EQ(fmt::format("{:.12g}", cell), text_at(row, std::string("measures.") + name));
    }
  }
  EXPECT_FALSE(std::getline(lines, line));
  const auto json =
      parse_json(wer_of_table(folder() / "t.tsv", kPlain, TableFormat::kJson).value()).value();
  EXPECT_EQ(json.if_array()->size(), rows.size());
}

TEST_F(TextCommands, ATableWithoutItsColumnsOrWithAMissingTabIsRefusedByLine) {
  const auto error_of = [&](const std::string& text) {
    return wer_of_table(write("t.tsv", text), kPlain, TableFormat::kTsv).error().message;
  };
  EXPECT_THAT(error_of("reference,hypothesis\n"), HasSubstr("t.tsv:1: the first line must name"));
  EXPECT_THAT(error_of("reference\thypothesis\r\na\tb\r\nno tab\r\n"),
              HasSubstr("t.tsv:3: 1 tab-separated fields, the first line has 2"));
  EXPECT_THAT(error_of(""), HasSubstr("is empty"));
  EXPECT_THAT(error_of("reference\thypothesis\n\xFF\tb\n"),
              HasSubstr("t.tsv:2: reference text: invalid UTF-8 at byte 0"));
}

TEST_F(TextCommands, ALineTooLongForTheCharacterErrorRateKeepsItsWordErrorRate) {
  std::string line;
  while (line.size() <= kCerBytesMax) line += "ninechars ";
  const std::string row = line + "a\t" + line + "b\n";
  const auto table = write("t.tsv", "reference\thypothesis\n" + row + "a\ta\n");
  const std::string out = wer_of_table(table, kPlain, TableFormat::kTsv).value();
  EXPECT_THAT(out, HasSubstr("\n1\t0\t0\t104858\t"));
  EXPECT_THAT(out, HasSubstr("\t\n0\t0\t0\t1\t0\t0\t0\t1\t0\n"));
  const auto ref = write("r", line + "a\nb\n");
  const auto hyp = write("h", line + "b\nb\n");
  EXPECT_THAT(wer_of_files(ref, hyp, kPlain, TableFormat::kText).value(),
              HasSubstr("CER not counted: a line has over 1048576 bytes"));
  const Value json = parse_json(wer_of_files(ref, hyp, kPlain, TableFormat::kJson).value()).value();
  EXPECT_EQ(*json.find("cer"), Value());
  EXPECT_EQ(*json.find("substitutions"), Value(1));
}

TEST_F(TextCommands, TwoFilesGiveBothWordErrorRates) {
  const auto ref = write("ref.txt", "\xEF\xBB\xBFOne two.\r\nA b c d\n");
  const auto hyp = write("hyp.txt", "one too\na b c d\n");
  const Value json = parse_json(wer_of_files(ref, hyp, kF5, TableFormat::kJson).value()).value();
  EXPECT_EQ(*json.find("wer_mean"), Value(0.25));
  EXPECT_EQ(*json.find("wer_corpus"), Value(1.0 / 6));
  EXPECT_EQ(*json.find("substitutions"), Value(1));
  EXPECT_THAT(wer_of_files(ref, hyp, kF5, TableFormat::kText).value(),
              HasSubstr("WER, mean of lines  0.25000"));
  EXPECT_THAT(wer_of_files(ref, hyp, kPlain, TableFormat::kTsv).value(),
              HasSubstr("\n2\t0\t0\t0\t"));
}

TEST_F(TextCommands, FilesOfDifferentLengthAreRefused) {
  const auto error =
      wer_of_files(write("r", "a\nb\n"), write("h", "a\n"), kF5, TableFormat::kText).error();
  EXPECT_EQ(error.code, ErrorCode::kInvalid);
  EXPECT_THAT(error.message, HasSubstr("has 2 lines"));
}

TEST_F(TextCommands, NormalizeGivesALineForALine) {
  EXPECT_EQ(normalize_lines("It's\r\n\nWELL-known\n", kF5).value(), "its\n\nwellknown\n");
  EXPECT_THAT(normalize_lines("ok\n\xFF\n", kF5).error().message, HasSubstr("line 2"));
}

// The program itself: exit codes, and that the text commands run in every build.
class Program : public ScratchFolder {
 protected:
  Exit run(const std::vector<std::string>& arguments) {
    Command command{.argv = {std::string(STRATA_BINARY_DIR) + "/bin/strata-evaluator"},
                    .folder = folder(),
                    .stdout_file = folder() / "out",
                    .stderr_file = folder() / "err"};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    return wait_exit(spawn(command).value()).value();
  }
};

TEST_F(Program, CountsWordErrorsOfATable) {
  write("t.tsv", "reference\thypothesis\nthe cat sat\tthe bat sat\n");
  EXPECT_EQ(run({"wer", "--tsv", "t.tsv", "--format", "tsv"}).code, 0);
  EXPECT_THAT(read("out"), HasSubstr("\n1\t0\t0\t2\t0.3333333333333333\t"));
}

TEST_F(Program, WrongInputIsExitCodeTwoWithTheReason) {
  EXPECT_EQ(run({"wer", "missing.txt", "missing2.txt"}).code, 2);
  EXPECT_THAT(read("err"), HasSubstr("missing.txt"));
  EXPECT_EQ(run({"wer"}).code, 2);
  EXPECT_EQ(run({"frobnicate"}).code, 2);
  EXPECT_EQ(run({"normalize", "--protocol", "f6"}).code, 2);
  EXPECT_EQ(run({"score", "missing.json"}).code, 2);
  EXPECT_EQ(run({"judges", "verify", "--models", "missing"}).code, 2);
}

TEST_F(Program, HelpIsExitCodeZero) { EXPECT_EQ(run({"--help"}).code, 0); }

}  // namespace
}  // namespace strata::evaluator

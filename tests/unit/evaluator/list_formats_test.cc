#include "evaluator/list_formats.h"

#include <gmock/gmock.h>

#include "base/random.h"

namespace strata::evaluator {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::vector<ListRow> rows_of(ListFormat format, const std::string& text) {
  LineProblems problems("some.lst");
  auto rows = gather_rows(format, text, problems);
  EXPECT_TRUE(problems.none()) << problems.status().error().message;
  return rows;
}

std::string error_of(ListFormat format, const std::string& text) {
  LineProblems problems("some.lst");
  const auto rows = gather_rows(format, text, problems);
  return problems.none() ? fmt::format("no error, {} rows", rows.size())
                         : problems.status().error().message;
}

std::string libri(const std::string& prompt, const std::string& target,
                  const std::string& text = "Good day, said the fox.") {
  return prompt + "\t3.1\tA prompt it is.\t" + target + "\t4.05\t" + text;
}

constexpr auto kLibri = ListFormat::kLibriSpeechPc;
constexpr auto kSeed = ListFormat::kSeedTts;

TEST(ListFormats, ALibriSpeechRowBecomesARowOfOurs) {
  const auto rows = rows_of(kLibri, libri("61-70968-0001", "61-70970-0002") + "\n");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].id, "61-70970-0002");
  EXPECT_EQ(rows[0].set, "generated");
  EXPECT_EQ(rows[0].audio, "61-70970-0002.wav");
  EXPECT_EQ(rows[0].prompt, "61/70968/61-70968-0001.flac");
  EXPECT_EQ(rows[0].text, "Good day, said the fox.");
  EXPECT_EQ(rows[0].speaker, "61");
  EXPECT_EQ(rows[0].line, 1U);
}

TEST(ListFormats, EveryKindOfLineEndAndAByteOrderMarkAreRead) {
  const std::string a = libri("1-2-3", "1-2-4");
  const std::string b = libri("1-2-3", "1-2-5", "The end. \t ");  // blanks at the end go
  for (const char* end : {"\n", "\r\n", "\r"}) {
    const auto rows = rows_of(kLibri, "\xEF\xBB\xBF" + a + end + b + end);
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].prompt, "1/2/1-2-3.flac");
    EXPECT_EQ(rows[0].text, "Good day, said the fox.");
    EXPECT_EQ(rows[1].text, "The end.");
    EXPECT_EQ(rows[1].line, 2U);
  }
  EXPECT_EQ(rows_of(kLibri, a + "\r\n" + b).size(), 2U);
  EXPECT_EQ(rows_of(kLibri, a + "\n\n\r\n \n").size(), 1U);
}

TEST(ListFormats, EveryWrongLibriSpeechRowIsNamedWithWhatIsWrong) {
  EXPECT_THAT(error_of(kLibri, "1-2-3\t3.1\tA prompt.\t1-2-4\t4.0\n"),
              HasSubstr("some.lst:1: 5 fields with tabs between, expected 6"));
  EXPECT_THAT(error_of(kLibri, libri("1-2-3", "1-2-4") + "\tmore"), HasSubstr("7 fields"));
  EXPECT_THAT(error_of(kLibri, "1-2-3\t3.1\t \t1-2-4\t4.0\tText."),
              HasSubstr("some.lst:1: field 3, its text, is empty"));
  EXPECT_THAT(error_of(kLibri, libri("1-2-3", "")), HasSubstr("field 4, the utterance, is empty"));
  EXPECT_THAT(error_of(kLibri, "1-2-3\tlong\tA.\t1-2-4\t4.0\tText."),
              HasSubstr("\"long\" is no length in seconds"));
  EXPECT_THAT(error_of(kLibri, "1-2-3\t3\tA.\t1-2-4\t0\tText."), HasSubstr("\"0\" is no length"));
  for (const char* id : {"1-2", "1-2-3-4", "1--3", "..-2-3", "1-..-3", "a/b-2-3"}) {
    EXPECT_THAT(error_of(kLibri, libri(id, "1-2-4")), HasSubstr("expected speaker-chapter-number"));
    EXPECT_THAT(error_of(kLibri, libri("1-2-4", id)), HasSubstr("expected speaker-chapter-number"));
  }
  EXPECT_THAT(error_of(kLibri, libri("1-2-3", "1-2-4", "\xFF")), HasSubstr("some.lst:1: "));
  EXPECT_THAT(error_of(kLibri, libri("1-2-3", "1-2-4", "\xFF")), HasSubstr("UTF-8"));
}

TEST(ListFormats, MissingAndDoubledRowsAreNamedTogether) {
  const std::string a = libri("1-2-3", "1-2-4");
  EXPECT_THAT(error_of(kLibri, a + "\n\n" + libri("1-2-3", "1-2-5") + "\n" + a + "\n"),
              AllOf(HasSubstr("some.lst: 2 problems:\n  some.lst:2: a blank line"),
                    HasSubstr("\n  some.lst:4: utterance \"1-2-4\" is already at some.lst:1")));
}

TEST(ListFormats, TwentyProblemsAreShownOfMoreAndAllAreCounted) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "nothing\n";
  EXPECT_THAT(error_of(kSeed, text),
              AllOf(HasSubstr("some.lst: 30 problems, the first 20 of them:"),
                    HasSubstr("\n  some.lst:20: 1 fields"), Not(HasSubstr("some.lst:21"))));
}

TEST(ListFormats, SeedTtsRowsOfTwoToFiveFieldsAreRead) {
  const auto rows = rows_of(kSeed,
                            "a|Two fields.\n"
                            "b.wav|Three fields.|prompts/b.wav\n"
                            "c|A prompt.|prompts/c.wav|Four fields.\r\n"
                            "d.wav|A prompt.|/far/d.WAV|Five fields. |wavs/d.wav\n");
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_EQ(rows[0].text, "Two fields.");
  EXPECT_FALSE(rows[0].prompt.has_value());
  EXPECT_EQ(rows[1].id, "b");  // of three fields alone the original takes .wav off
  EXPECT_EQ(rows[1].audio, "b.wav");
  EXPECT_EQ(rows[1].text, "Three fields.");
  EXPECT_EQ(rows[1].prompt, "prompts/b.wav");
  EXPECT_EQ(rows[2].text, "Four fields.");
  EXPECT_EQ(rows[2].prompt, "prompts/c.wav");
  EXPECT_EQ(rows[3].id, "d.wav");
  EXPECT_EQ(rows[3].audio, "d.wav.wav");
  EXPECT_EQ(rows[3].text, "Five fields. ");
  EXPECT_EQ(rows[3].prompt, "/far/d.WAV");
  EXPECT_EQ(rows[3].speaker, "");
}

TEST(ListFormats, ABarInsideATextIsFoundWhereverItMovesTheFields) {
  for (const char* row :
       {"a|one|two", "a|Pro|mpt.|p.wav|Text.", "a|Prompt.|p.wav|Te|xt.", "a|te|xt|p.wav"}) {
    EXPECT_THAT(error_of(kSeed, row), HasSubstr("a text must not hold a |")) << row;
  }
  EXPECT_THAT(error_of(kSeed, "a|Prompt.|p.wav|Te|xt.|g.wav"), HasSubstr("6 fields with |"));
}

TEST(ListFormats, EveryWrongSeedTtsRowIsNamedWithWhatIsWrong) {
  EXPECT_THAT(error_of(kSeed, "a|Prompt.|p.wav|"), HasSubstr("field 4, the text, is empty"));
  EXPECT_THAT(error_of(kSeed, "a| |p.wav|Text."), HasSubstr("field 2, the prompt's text, is"));
  EXPECT_THAT(error_of(kSeed, "|Text."), HasSubstr("field 1, the utterance, is empty"));
  EXPECT_THAT(error_of(kSeed, "../a|Text."), HasSubstr("must stay inside the folder"));
  EXPECT_THAT(error_of(kSeed, "/a|Text."), HasSubstr("must stay inside the folder"));
  EXPECT_THAT(error_of(kSeed, ".wav|Text.|p.wav"), HasSubstr("is no name of an utterance"));
  EXPECT_THAT(error_of(kSeed, "a|Text.\n\nb|Text.\n"), HasSubstr("some.lst:2: a blank line"));
  EXPECT_THAT(error_of(kSeed, "a|Text.\nb|Text.\na|Other.\n"),
              HasSubstr("some.lst:3: utterance \"a\" is already at some.lst:1"));
}

// Whatever is in a line: it gives a row or a problem, and none is lost.
TEST(ListFormats, EveryLineIsARowOrAProblem) {
  const std::vector<std::string> pieces{
      "\t",      "|",  "1-2-3", "1-2-4", "3.5",          " ", "Text.", "é",           "\xFF",
      "p/x.wav", "..", "/",     "{",     "\xE3\x80\x80", "0", "u.wav", "\xEF\xBB\xBF"};
  const std::string good_libri = libri("1-2-3", "1-2-4");
  Random random(11);
  std::size_t rows_seen = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    const std::size_t lines = 1 + random.bounded(6);
    for (std::size_t i = 0; i < lines; ++i) {
      const auto kind = random.bounded(4);
      if (kind == 0) text += good_libri;
      if (kind == 1) text += fmt::format("u{}|Text.|p.wav", random.bounded(4));
      for (auto more = random.bounded(9); kind != 0 && more > 0; --more)
        text += pieces[random.bounded(pieces.size())];
      text += i + 1 == lines ? "x\n" : "\r\n";
    }
    for (const ListFormat format : {kLibri, kSeed}) {
      LineProblems problems("some.lst");
      const auto rows = gather_rows(format, text, problems);
      ASSERT_EQ(rows.size() + problems.count(), lines) << text;
      rows_seen += rows.size();
    }
  }
  EXPECT_GT(rows_seen, 500U);
}

TEST(ListFormats, OurOwnListIsReadUnderTheNameThatItHas) {
  const auto rows = rows_of(ListFormat::kJsonl,
                            "\xEF\xBB\xBF{\"id\": \"a\", \"audio\": \"x/a.flac\", \"text\": "
                            "\"T\", \"prompt\": \"p.wav\", \"speaker\": \"s\"}\r\n");
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].audio, "x/a.flac");
  EXPECT_THAT(error_of(ListFormat::kJsonl, "\n{\"id\": \"a\"}\n"), HasSubstr("some.lst:2: "));
}

TEST(ListFormats, TheFormatIsToldByTheFirstLineThatIsNotBlank) {
  const auto told = [](const std::string& text) {
    const auto format = tell_list_format(text, "some.lst");
    return format ? std::string(name_of(*format)) : format.error().message;
  };
  EXPECT_EQ(told("\xEF\xBB\xBF\r\n{\"id\": \"a|b\", \t"), "jsonl");
  EXPECT_EQ(told(libri("1-2-3", "1-2-4")), "librispeech-pc");
  EXPECT_EQ(told("a|Text.\nb\tc"), "seed-tts");
  EXPECT_THAT(told("\na|b\tc\n"), HasSubstr("some.lst:2: cannot tell the format of the list"));
  EXPECT_THAT(told("hello\n"), HasSubstr("--format (librispeech-pc, seed-tts, jsonl)"));
  EXPECT_THAT(told(" \r\n\n"), HasSubstr("no row to score"));
  EXPECT_EQ(find_list_format("seed-tts").value(), kSeed);
  EXPECT_THAT(find_list_format("kaldi").error().message,
              HasSubstr("there are librispeech-pc, seed-tts, jsonl"));
}

}  // namespace
}  // namespace strata::evaluator

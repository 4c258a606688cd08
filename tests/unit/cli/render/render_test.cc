#include <gtest/gtest.h>

#include "cli/render/colour.h"
#include "cli/render/progress.h"
#include "cli/render/text_table.h"
#include "cli/table_render.h"

namespace strata::cli {
namespace {

TEST(Colour, WidthCountsWhatATerminalShows) {
  EXPECT_EQ(display_width("−1.5 … Δ"), 8U);
  EXPECT_EQ(display_width("\x1b[1mbold\x1b[0m"), 4U);
  EXPECT_EQ(display_width("語"), 2U);
  EXPECT_EQ(shorten("abcdef", 4), "abc…");
  EXPECT_EQ(shorten("abcd", 4), "abcd");
}

TEST(Colour, EscapeSequencesOfOthersAreNotObeyed) {
  EXPECT_EQ(printable("a\x1b[31mb\nc"), "a?[31mb\nc");
}

TEST(Colour, PlainPaletteChangesNothing) {
  EXPECT_EQ(Palette(false).paint(Tint::kBad, "x"), "x");
  EXPECT_EQ(Palette(true).paint(Tint::kBad, "x"), "\x1b[31mx\x1b[0m");
}

TEST(TextTable, ColumnsAreAlignedByWhatIsSeen) {
  TextTable table({{.header = "name"}, {.header = "n", .right = true}});
  table.row({"Δx", "1"});
  table.row({"longer\nsecond", "1,000"});
  EXPECT_EQ(table.text(),
            "name        n\n"
            "─────────────\n"
            "Δx          1\n"
            "longer  1,000\n"
            "second\n");
}

TEST(TextTable, LongTextIsBrokenAtSpacesAndLongWordsStayWhole) {
  EXPECT_EQ(wrap_words("a bc def g", 4), (std::vector<std::string>{"a bc", "def", "g"}));
  EXPECT_EQ(wrap_words("x longer y", 4), (std::vector<std::string>{"x", "longer", "y"}));
  EXPECT_EQ(wrap_words("Δ Δ Δ", 3), (std::vector<std::string>{"Δ Δ", "Δ"}));
  EXPECT_EQ(wrap_words("one\ntwo", 10), (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(wrap_words("", 10), (std::vector<std::string>{""}));
}

TEST(Progress, BarsAreAsWideAsAskedAndFullOnlyAtTheEnd) {
  EXPECT_EQ(bar(0, 4), "····");
  EXPECT_EQ(bar(0.5, 4), "██··");
  EXPECT_EQ(bar(0.999, 2), "█▉");
  EXPECT_EQ(bar(1, 2), "██");
}

TEST(Progress, DurationsReadLikeSpeech) {
  EXPECT_EQ(format_duration(0.42), "0.4 s");
  EXPECT_EQ(format_duration(47), "47 s");
  EXPECT_EQ(format_duration(200), "3 min 20 s");
  EXPECT_EQ(format_duration(7500), "2 h 05 min");
  EXPECT_EQ(format_duration(3 * 86400 + 4 * 3600), "3 d 4 h");
}

TEST(Progress, NumbersHaveUnitsAndATrueMinus) {
  EXPECT_EQ(format_bytes(812), "812 B");
  EXPECT_EQ(format_bytes(1.44e9), "1.4 GB");
  EXPECT_EQ(format_count(1234567), "1,234,567");
  EXPECT_EQ(format_count(-123), "-123");
  EXPECT_EQ(format_fixed(-0.04, 1), "0.0");
  EXPECT_EQ(format_fixed(-1.26, 1), "−1.3");
  EXPECT_EQ(plural(1, "run"), "1 run");
  EXPECT_EQ(format_time(1763785800000), "2025-11-22 04:30:00Z");
}

TEST(TableRender, NoteMarksGoOnAfterZ) {
  EXPECT_EQ(note_mark(0), "a");
  EXPECT_EQ(note_mark(25), "z");
  EXPECT_EQ(note_mark(26), "aa");
  EXPECT_EQ(note_mark(27), "ab");
}

}  // namespace
}  // namespace strata::cli

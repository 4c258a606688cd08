// Colours and the width of text on a terminal. Pure, but for palette_for().
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace strata::cli {

enum class Tint { kPlain, kBold, kDim, kGood, kBad, kWarn, kAccent };

// Paints text, or leaves it alone: the same code writes for people and for files.
class Palette {
 public:
  Palette() = default;
  explicit Palette(bool on) : on_(on) {}
  [[nodiscard]] bool on() const { return on_; }
  [[nodiscard]] std::string paint(Tint tint, std::string_view text) const;

 private:
  bool on_ = false;
};

// Colours only on a terminal that is not "dumb", and never when NO_COLOR is set (no-color.org).
[[nodiscard]] Palette palette_for(int descriptor);
[[nodiscard]] bool is_terminal(int descriptor);
struct TerminalSize {
  std::size_t columns = 100;
  std::size_t lines = 0;  // 0: no end
};
// Of the terminal; where there is none, a width that files are read at.
[[nodiscard]] TerminalSize terminal_size(int descriptor);

// Columns that the text takes: code points but no escape sequences; East Asian wide characters take
// two.
[[nodiscard]] std::size_t display_width(std::string_view text);
// At most `width` columns, with an ellipsis where something was cut. REQUIRES: no escape sequences.
[[nodiscard]] std::string shorten(std::string_view text, std::size_t width);
// What a terminal must not obey is written as a question mark: text that came from logs and names
// of others.
[[nodiscard]] std::string printable(std::string_view text);

// The colour of a task's or a run's state, everywhere the same.
[[nodiscard]] Tint tint_of_state(std::string_view state);

}  // namespace strata::cli

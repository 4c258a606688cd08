#include "cli/render/colour.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/utf8.h"

namespace strata::cli {

namespace {

constexpr std::size_t kColumnsMin = 20;  // nothing can be laid out in less

const char* code_of(Tint tint) {
  switch (tint) {
    case Tint::kPlain: return "";
    case Tint::kBold: return "\x1b[1m";
    case Tint::kDim: return "\x1b[2m";
    case Tint::kGood: return "\x1b[32m";
    case Tint::kBad: return "\x1b[31m";
    case Tint::kWarn: return "\x1b[33m";
    case Tint::kAccent: return "\x1b[36m";
  }
  return "";
}

std::size_t width_of(char32_t point) {
  if (point < 0x20 || (point >= 0x7F && point < 0xA0)) return 0;
  if (point >= 0x300 && point <= 0x36F) return 0;  // combining marks
  const bool wide = (point >= 0x1100 && point <= 0x115F) || (point >= 0x2E80 && point <= 0xA4CF) ||
                    (point >= 0xAC00 && point <= 0xD7A3) || (point >= 0xF900 && point <= 0xFAFF) ||
                    (point >= 0xFF00 && point <= 0xFF60) || (point >= 0x1F300 && point <= 0x1FAFF);
  return wide ? 2 : 1;
}

}  // namespace

std::string Palette::paint(Tint tint, std::string_view text) const {
  if (!on_ || tint == Tint::kPlain || text.empty()) return std::string(text);
  std::string out = code_of(tint);
  out += text;
  out += "\x1b[0m";
  return out;
}

bool is_terminal(int descriptor) { return ::isatty(descriptor) == 1; }

Palette palette_for(int descriptor) {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  return Palette(is_terminal(descriptor) && !dumb && (no_colour == nullptr || *no_colour == '\0'));
}

TerminalSize terminal_size(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return {};
  return {.columns = std::max<std::size_t>(size.ws_col, kColumnsMin), .lines = size.ws_row};
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  const std::u32string points = decode_utf8_lossy(text);
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (points[i] == U'\x1b') {
      while (i < points.size() && points[i] != U'm') ++i;
      continue;
    }
    width += width_of(points[i]);
  }
  return width;
}

std::string shorten(std::string_view text, std::size_t width) {
  if (display_width(text) <= width) return std::string(text);
  if (width == 0) return "";
  std::u32string kept;
  std::size_t used = 1;  // the ellipsis
  for (const char32_t point : decode_utf8_lossy(text)) {
    used += width_of(point);
    if (used > width) break;
    kept.push_back(point);
  }
  kept.push_back(U'…');
  return encode_utf8(kept);
}

std::string printable(std::string_view text) {
  std::u32string out;
  for (const char32_t point : decode_utf8_lossy(text)) {
    const bool control =
        (point < 0x20 && point != U'\n' && point != U'\t') || (point >= 0x7F && point < 0xA0);
    out.push_back(control ? U'?' : point);
  }
  return encode_utf8(out);
}

Tint tint_of_state(std::string_view state) {
  if (state == "succeeded") return Tint::kGood;
  if (state == "failed") return Tint::kBad;
  if (state == "diverged" || state == "cancelled" || state == "pruned") return Tint::kWarn;
  if (state == "running" || state == "leased") return Tint::kAccent;
  if (state == "blocked" || state == "queued" || state == "held") return Tint::kDim;
  return Tint::kPlain;
}

}  // namespace strata::cli

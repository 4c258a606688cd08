#include "evaluator/core/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace strata::evaluator {
namespace {

using Range = std::pair<char32_t, char32_t>;

#include "evaluator/core/unicode_tables.inc"

// Below it Unicode 14.0 has no holes.
constexpr char32_t kFirstUnassigned = kAssigned[0].second + 1;

bool is_assigned(char32_t point) {
  if (point < kFirstUnassigned) return true;
  const auto after = std::ranges::upper_bound(kAssigned, point, {}, &Range::first);
  return point <= std::prev(after)->second;
}

template <std::size_t N>
bool within(const std::array<Range, N>& ranges, char32_t point) {
  return std::ranges::any_of(ranges,
                             [&](const Range& r) { return r.first <= point && point <= r.second; });
}

utf8proc_category_t category_of(char32_t point) {
  return is_assigned(point) ? utf8proc_category(static_cast<utf8proc_int32_t>(point))
                            : UTF8PROC_CATEGORY_CN;
}

// ASCII is most of every text, and needs no table.
bool is_ascii(char32_t point) { return point < 0x80; }

// Case_Ignorable of Unicode: marks, formats, modifiers, and these single characters (Word_Break
// MidLetter, MidNumLet, Single_Quote).
bool is_case_ignorable(char32_t point) {
  static constexpr std::array<Range, 16> kOthers{{{0x27, 0x27},
                                                  {0x2E, 0x2E},
                                                  {0x3A, 0x3A},
                                                  {0xB7, 0xB7},
                                                  {0x387, 0x387},
                                                  {0x55F, 0x55F},
                                                  {0x5F4, 0x5F4},
                                                  {0x2018, 0x2019},
                                                  {0x2024, 0x2024},
                                                  {0x2027, 0x2027},
                                                  {0xFE13, 0xFE13},
                                                  {0xFE52, 0xFE52},
                                                  {0xFE55, 0xFE55},
                                                  {0xFF07, 0xFF07},
                                                  {0xFF0E, 0xFF0E},
                                                  {0xFF1A, 0xFF1A}}};
  switch (category_of(point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return within(kOthers, point);
  }
}

// Cased of Unicode, less what is case-ignorable too: that is skipped before the question comes up.
bool is_cased(char32_t point) {
  static constexpr std::array<Range, 7> kOthers{{{0xAA, 0xAA},
                                                 {0xBA, 0xBA},
                                                 {0x2160, 0x217F},
                                                 {0x24B6, 0x24E9},
                                                 {0x1F130, 0x1F149},
                                                 {0x1F150, 0x1F169},
                                                 {0x1F170, 0x1F189}}};
  switch (category_of(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT: return true;
    default: return within(kOthers, point);
  }
}

// Final_Sigma of SpecialCasing.txt: a cased letter before, none after, case-ignorable ones in
// between do not count.
bool is_final_sigma(std::u32string_view text, std::size_t at) {
  const auto significant = [](char32_t p) { return !is_case_ignorable(p); };
  const auto before = std::find_if(text.rbegin() + static_cast<std::ptrdiff_t>(text.size() - at),
                                   text.rend(), significant);
  if (before == text.rend() || !is_cased(*before)) return false;
  const auto after =
      std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at) + 1, text.end(), significant);
  return after == text.end() || !is_cased(*after);
}

}  // namespace

bool is_python_space(char32_t point) {
  static constexpr std::array<Range, 10> kSpaces{{{0x09, 0x0D},
                                                  {0x1C, 0x20},
                                                  {0x85, 0x85},
                                                  {0xA0, 0xA0},
                                                  {0x1680, 0x1680},
                                                  {0x2000, 0x200A},
                                                  {0x2028, 0x2029},
                                                  {0x202F, 0x202F},
                                                  {0x205F, 0x205F},
                                                  {0x3000, 0x3000}}};
  return within(kSpaces, point);
}

bool is_python_word(char32_t point) {
  if (is_ascii(point)) {
    return (point >= U'a' && point <= U'z') || (point >= U'A' && point <= U'Z') ||
           (point >= U'0' && point <= U'9') || point == U'_';
  }
  const char category = major_category(point);
  return category == 'L' || category == 'N';
}

int decimal_value(char32_t point) {
  if (is_ascii(point)) {
    return point >= U'0' && point <= U'9' ? static_cast<int>(point - U'0') : -1;
  }
  const auto after = std::ranges::upper_bound(kDecimalZeros, point);
  const char32_t value = point - *std::prev(after);
  return value < 10 ? static_cast<int>(value) : -1;
}

bool is_nonspacing_mark(char32_t point) { return category_of(point) == UTF8PROC_CATEGORY_MN; }

char major_category(char32_t point) {
  if (!is_assigned(point)) return 'C';
  return utf8proc_category_string(static_cast<utf8proc_int32_t>(point))[0];
}

std::u32string python_lower(std::u32string_view text) {
  std::u32string lower;
  lower.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t point = text[i];
    if (is_ascii(point)) {
      lower += point >= U'A' && point <= U'Z' ? point + (U'a' - U'A') : point;
    } else if (point == U'\u03A3') {
      lower += is_final_sigma(text, i) ? U'\u03C2' : U'\u03C3';
    } else if (point == U'\u0130') {
      lower +=
          U"i\u0307";  // the only other character whose full lower case differs from its simple one
    } else if (is_assigned(point)) {
      lower += static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point)));
    } else {
      lower += point;
    }
  }
  return lower;
}

std::u32string normal_form_kd(std::u32string_view text) {
  constexpr auto kOptions =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  std::u32string decomposed;
  decomposed.reserve(text.size());
  for (const char32_t point : text) {
    if (is_ascii(point) || !is_assigned(point)) {
      decomposed += point;
      continue;
    }
    // No character decomposes into more than 18 others (U+FDFA does), whatever the Unicode version
    // so far.
    std::array<utf8proc_int32_t, 32> parts{};
    const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(point), parts.data(),
                                           parts.size(), kOptions, nullptr);
    STRATA_ASSERT(n >= 0 && n <= static_cast<utf8proc_ssize_t>(parts.size()));
    for (utf8proc_ssize_t i = 0; i < n; ++i)
      decomposed += static_cast<char32_t>(parts[static_cast<std::size_t>(i)]);
  }
  // Canonical order of combining marks.
  const auto klass = [](char32_t p) {
    if (is_ascii(p) || !is_assigned(p)) return utf8proc_propval_t{0};
    return utf8proc_get_property(static_cast<utf8proc_int32_t>(p))->combining_class;
  };
  const auto starts = [&](char32_t p) { return klass(p) == 0; };
  for (auto it = std::find_if_not(decomposed.begin(), decomposed.end(), starts);
       it != decomposed.end(); it = std::find_if_not(it, decomposed.end(), starts)) {
    const auto end = std::find_if(it, decomposed.end(), starts);
    std::stable_sort(it, end, [&](char32_t a, char32_t b) { return klass(a) < klass(b); });
    it = end;
  }
  return decomposed;
}

std::u32string normal_form_kc(std::u32string_view text) {
  constexpr auto kOptions =
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  if (std::ranges::all_of(text, is_ascii)) return std::u32string(text);
  const std::u32string decomposed = normal_form_kd(text);
  std::u32string composed;
  composed.reserve(decomposed.size());
  // An unassigned character composes with nothing; a library that knows it must not see it.
  for (auto it = decomposed.begin(); it != decomposed.end();) {
    const auto end = std::find_if_not(it, decomposed.end(), is_assigned);
    std::vector<utf8proc_int32_t> points(it, end);
    // Composes only: the order is there already.
    const auto length = utf8proc_normalize_utf32(
        points.data(), static_cast<utf8proc_ssize_t>(points.size()), kOptions);
    STRATA_ASSERT(length >= 0);
    composed.append(points.begin(), points.begin() + length);
    it = end;
    for (; it != decomposed.end() && !is_assigned(*it); ++it) composed += *it;
  }
  return composed;
}

const char* library_unicode_version() { return utf8proc_unicode_version(); }

}  // namespace strata::evaluator

#include "worker/signature.h"

#include <algorithm>
#include <array>

#include "base/utf8.h"

namespace strata::worker {
namespace {

constexpr std::string_view kTraceback = "Traceback (most recent call last)";
constexpr std::size_t kHashDigitsMin = 8;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// What mpirun says about every end, whatever it was.
bool is_account_of_mpirun(std::string_view line) {
  static constexpr std::array<std::string_view, 7> kParts{"Primary job  terminated normally",
                                                          "a non-zero exit code. Per user",
                                                          "mpirun detected that one or more",
                                                          "prterun detected that one or more",
                                                          "the job to be terminated. The first",
                                                          "Process name: [",
                                                          "Exit code:  "};
  const std::size_t begin = line.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return true;
  return std::ranges::any_of(
      kParts, [&](std::string_view part) { return line.substr(begin).starts_with(part); });
}

// Behind the last traceback, in the lines of the same rank ("[rank1]: ", "[1,0]<stderr>:"): frames
// are indented, the exception is not.
std::string exception_line(const std::vector<LogLine>& lines) {
  const auto last = std::find_if(lines.rbegin(), lines.rend(), [](const LogLine& line) {
    return line.text.find(kTraceback) != std::string::npos;
  });
  if (last == lines.rend()) return {};
  const std::string prefix = last->text.substr(0, last->text.find(kTraceback));
  for (auto line = last.base(); line != lines.end(); ++line) {
    if (!line->text.starts_with(prefix) || line->text.size() == prefix.size()) continue;
    const char first = line->text[prefix.size()];
    if (first != ' ' && first != '\t') return line->text.substr(prefix.size());
  }
  return {};
}

// Where the path that begins at `at` ends.
std::size_t end_of_path(std::string_view text, std::size_t at) {
  return std::min(text.find_first_of(" \t'\"()[]{}<>,;:|`", at), text.size());
}
bool begins_path(std::string_view text, std::size_t at) {
  if (text[at] != '/' || end_of_path(text, at) < at + 3) return false;
  return at == 0 || std::string_view(" \t'\"([{<=,:`").find(text[at - 1]) != std::string_view::npos;
}

// Digits with what may stand between digits: 1.5, 1e-05, 12:30:01, 2026-11-22.
std::size_t end_of_number(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const bool between = at + 1 < text.size() && is_digit(text[at + 1]) &&
                         std::string_view(".,:-+e").find(text[at]) != std::string_view::npos;
    const bool exponent = at + 2 < text.size() && text[at] == 'e' &&
                          (text[at + 1] == '-' || text[at + 1] == '+') && is_digit(text[at + 2]);
    if (!is_digit(text[at]) && !between && !exponent) return at;
    at += exponent ? 2 : 1;
  }
  return at;
}

// Of a run of hexadecimal digits that is a word of its own, long enough, with a digit in it.
std::size_t end_of_hash(std::string_view text, std::size_t at) {
  if (at > 0 && (is_letter(text[at - 1]) || is_digit(text[at - 1]))) return at;
  std::size_t end = at;
  bool digit = false;
  while (end < text.size() && is_hex(text[end])) digit = is_digit(text[end++]) || digit;
  const bool word = end == text.size() || !(is_letter(text[end]) || is_digit(text[end]));
  return word && digit && end - at >= kHashDigitsMin ? end : at;
}

}  // namespace

std::string telling_line(const std::vector<LogLine>& lines) {
  if (std::string exception = exception_line(lines); !exception.empty()) return exception;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (!is_account_of_mpirun(line->text)) return line->text;
  }
  return lines.empty() ? std::string() : lines.back().text;
}

std::string normalised(std::string_view line) {
  std::string out;
  for (std::size_t at = 0; at < line.size() && out.size() < kSignatureBytesMax;) {
    if (line.substr(at, 2) == "0x" && at + 2 < line.size() && is_hex(line[at + 2])) {
      at += 2;
      while (at < line.size() && is_hex(line[at])) ++at;
      out += "#";
    } else if (begins_path(line, at)) {
      at = end_of_path(line, at);
      out += "<path>";
    } else if (const std::size_t hash = end_of_hash(line, at); hash > at) {
      at = hash;
      out += "#";
    } else if (is_digit(line[at])) {
      at = end_of_number(line, at);
      out += "#";
    } else {
      out += line[at++];
    }
  }
  return encode_utf8(decode_utf8_lossy(std::string_view(out).substr(0, kSignatureBytesMax)));
}

}  // namespace strata::worker

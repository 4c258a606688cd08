#include "trainer/data/vocabulary.h"

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "base/files.h"
#include "base/utf8.h"
#include "trainer/data/text_lines.h"

namespace strata::trainer {
namespace {

constexpr char32_t kSpace = U' ';
constexpr std::size_t kBytes = 256;
// What the vocabulary of a tokenizer other than char begins with; the name follows.
constexpr std::string_view kHeading = "#tokenizer ";

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); }

std::vector<std::string> characters_of(std::string_view text) {
  std::vector<std::string> characters;
  for (const char32_t c : decode_utf8_lossy(text))
    characters.push_back(encode_utf8(std::u32string(1, c)));
  return characters;
}

Status check_line(std::string_view line, std::size_t number, Tokenizer tokenizer) {
  auto points = decode_utf8(line);
  if (!points) return tl::unexpected(points.error().while_doing(fmt::format("line {}", number)));
  if (tokenizer == Tokenizer::kChar && points->size() != 1) {
    return fail(ErrorCode::kInvalid, "line {}: expected one character, found {}", number,
                points->size());
  }
  // A line end in Python, whose ids would differ from ours after it.
  if (tokenizer != Tokenizer::kChar && points->find(U'\r') != std::u32string::npos) {
    return fail(ErrorCode::kInvalid,
                "line {}: a carriage return inside the line: ends of lines are LF or CRLF", number);
  }
  return {};
}

}  // namespace

const char* name_of(Tokenizer tokenizer) {
  return tokenizer_names()[static_cast<std::size_t>(tokenizer)].c_str();
}

const std::vector<std::string>& tokenizer_names() {
  static const std::vector<std::string> names{"char", "byte", "pinyin", "custom"};
  return names;
}

std::optional<Tokenizer> tokenizer_of(std::string_view name) {
  const auto found = std::ranges::find(tokenizer_names(), name);
  if (found == tokenizer_names().end()) return std::nullopt;
  return static_cast<Tokenizer>(found - tokenizer_names().begin());
}

Result<Vocabulary> Vocabulary::load(const std::filesystem::path& path) {
  STRATA_TRY(const std::string text, read_file(path));
  auto vocabulary = parse(text);
  if (!vocabulary) return tl::unexpected(vocabulary.error().while_doing(path.string()));
  return vocabulary;
}

Result<Vocabulary> Vocabulary::parse(std::string_view text) {
  if (!text.starts_with(kHeading)) return parse_lines(text, Tokenizer::kChar);
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view name = text.substr(kHeading.size(), end - kHeading.size());
  const std::optional<Tokenizer> tokenizer = tokenizer_of(name);
  if (!tokenizer || tokenizer == Tokenizer::kChar) {
    return fail(ErrorCode::kUnsupported,
                "line 1: the tokenizer \"{}\": this program knows byte, pinyin and custom", name);
  }
  text.remove_prefix(std::min(end + 1, text.size()));
  if (tokenizer != Tokenizer::kByte) return parse_lines(text, *tokenizer);
  if (!text.empty()) return fail(ErrorCode::kInvalid, "line 2: the tokenizer byte has no lines");
  return bytes();
}

Result<Vocabulary> Vocabulary::load_lines(const std::filesystem::path& path, Tokenizer tokenizer) {
  STRATA_TRY(const std::string text, read_file(path));
  auto vocabulary = parse_lines(text, tokenizer);
  if (!vocabulary) return tl::unexpected(vocabulary.error().while_doing(path.string()));
  return vocabulary;
}

Result<Vocabulary> Vocabulary::parse_lines(std::string_view text, Tokenizer tokenizer) {
  STRATA_ASSERT(tokenizer != Tokenizer::kByte);
  // Only the ends of the lines are cut: a strip would take the space, which is a token.
  const std::vector<std::string_view> views = text_lines(text);
  std::vector<std::string> lines(views.begin(), views.end());
  for (std::size_t i = 0; i < lines.size(); ++i)
    STRATA_CHECK_OK(check_line(lines[i], i + 1, tokenizer));
  return of_lines(std::move(lines), tokenizer);
}

Result<Vocabulary> Vocabulary::of_texts(const std::vector<std::string>& texts) {
  std::set<char32_t> seen;
  for (const std::string& text : texts) {
    auto points = decode_utf8(text);
    if (!points) return tl::unexpected(points.error().while_doing("making a vocabulary"));
    for (const char32_t c : *points) {
      if (is_control(c)) {
        return fail(ErrorCode::kInvalid,
                    "making a vocabulary: the text \"{}\" holds the control character {:#x}", text,
                    static_cast<std::uint32_t>(c));
      }
      seen.insert(c);
    }
  }
  seen.erase(kSpace);
  std::vector<std::string> lines{" "};
  for (const char32_t c : seen) lines.push_back(encode_utf8(std::u32string(1, c)));
  return of_lines(std::move(lines), Tokenizer::kChar);
}

Vocabulary Vocabulary::bytes() {
  Vocabulary vocabulary;
  vocabulary.tokenizer_ = Tokenizer::kByte;
  return vocabulary;
}

Result<Vocabulary> Vocabulary::of_lines(std::vector<std::string> lines, Tokenizer tokenizer) {
  if (lines.empty()) return fail(ErrorCode::kInvalid, "the vocabulary is empty");
  if (lines.size() > kVocabularyMax) {
    return fail(ErrorCode::kTooLarge, "the vocabulary has {} lines, the limit is {}", lines.size(),
                kVocabularyMax);
  }
  Vocabulary vocabulary;
  vocabulary.tokenizer_ = tokenizer;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const bool fresh =
        vocabulary.ids_.insert_or_assign(lines[i], static_cast<std::int64_t>(i)).second;
    if (!fresh && tokenizer == Tokenizer::kChar) {
      return fail(ErrorCode::kInvalid, "line {}: the character '{}' is there twice", i + 1,
                  lines[i]);
    }
  }
  const auto space = vocabulary.ids_.find(" ");
  if (tokenizer != Tokenizer::kCustom && (space == vocabulary.ids_.end() || space->second != 0)) {
    return fail(ErrorCode::kInvalid,
                "the vocabulary does not begin with the space: id 0 stands for unknown characters "
                "and must be it");
  }
  vocabulary.lines_ = std::move(lines);
  return vocabulary;
}

std::size_t Vocabulary::size() const {
  return tokenizer_ == Tokenizer::kByte ? kBytes : lines_.size();
}

std::int64_t Vocabulary::id_of(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? 0 : found->second;
}

std::vector<std::int64_t> Vocabulary::encode(std::string_view text) const {
  std::vector<std::int64_t> ids;
  if (tokenizer_ == Tokenizer::kByte) {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  for (const std::string& character : characters_of(text)) ids.push_back(id_of(character));
  return ids;
}

std::vector<std::int64_t> Vocabulary::encode(const std::vector<std::string>& tokens) const {
  std::vector<std::int64_t> ids;
  for (const std::string& token : tokens) {
    if (tokenizer_ == Tokenizer::kByte) {
      const std::vector<std::int64_t> bytes = encode(std::string_view(token));
      ids.insert(ids.end(), bytes.begin(), bytes.end());
    } else {
      ids.push_back(id_of(token));
    }
  }
  return ids;
}

bool Vocabulary::knows(std::string_view token) const {
  return tokenizer_ == Tokenizer::kByte || ids_.contains(token);
}

std::string Vocabulary::format() const {
  std::string text;
  if (tokenizer_ != Tokenizer::kChar) text = fmt::format("{}{}\n", kHeading, name_of(tokenizer_));
  for (const std::string& line : lines_) text += line + "\n";
  return text;
}

}  // namespace strata::trainer

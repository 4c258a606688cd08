#include "trainer/data/vocabulary.h"

#include <set>

#include "base/files.h"
#include "base/utf8.h"

namespace strata::trainer {
namespace {

constexpr char32_t kSpace = U' ';

bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); }

}  // namespace

Result<Vocabulary> Vocabulary::load(const std::filesystem::path& path) {
  STRATA_TRY(const std::string text, read_file(path));
  auto vocabulary = parse(text);
  if (!vocabulary) return tl::unexpected(vocabulary.error().while_doing(path.string()));
  return vocabulary;
}

Result<Vocabulary> Vocabulary::parse(std::string_view text) {
  std::u32string characters;
  for (std::size_t at = 0, line = 1; at < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view token = text.substr(at, end - at);
    at = end + 1;
    // Only the end of the line is cut: a strip would take the space, which is a token.
    if (token.ends_with('\r')) token.remove_suffix(1);
    STRATA_TRY(const std::u32string points, decode_utf8(token));
    if (points.size() != 1)
      return fail(ErrorCode::kInvalid, "line {}: expected one character, found {}", line,
                  points.size());
    characters += points;
  }
  return of_characters(std::move(characters));
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
  return of_characters(kSpace + std::u32string(seen.begin(), seen.end()));
}

Result<Vocabulary> Vocabulary::of_characters(std::u32string characters) {
  if (characters.empty()) return fail(ErrorCode::kInvalid, "the vocabulary is empty");
  if (characters.size() > kVocabularyMax) {
    return fail(ErrorCode::kTooLarge, "the vocabulary has {} characters, the limit is {}",
                characters.size(), kVocabularyMax);
  }
  if (characters.front() != kSpace) {
    return fail(ErrorCode::kInvalid,
                "the vocabulary does not begin with the space: id 0 stands for unknown characters "
                "and must be it");
  }
  Vocabulary vocabulary;
  for (const char32_t c : characters) {
    const auto id = static_cast<std::int64_t>(vocabulary.ids_.size());
    if (!vocabulary.ids_.emplace(c, id).second) {
      return fail(ErrorCode::kInvalid, "line {}: the character '{}' is there twice", id + 1,
                  encode_utf8(std::u32string(1, c)));
    }
  }
  vocabulary.characters_ = std::move(characters);
  return vocabulary;
}

std::vector<std::int64_t> Vocabulary::encode(std::string_view text) const {
  std::vector<std::int64_t> ids;
  for (const char32_t c : decode_utf8_lossy(text)) {
    const auto found = ids_.find(c);
    ids.push_back(found == ids_.end() ? 0 : found->second);
  }
  return ids;
}

std::string Vocabulary::format() const {
  std::string text;
  for (const char32_t c : characters_) text += encode_utf8(std::u32string(1, c)) + "\n";
  return text;
}

}  // namespace strata::trainer

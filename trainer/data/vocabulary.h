// The tokens that a model knows, and how a text becomes their ids.
//
//   char    one character a line of vocab.txt; a text is cut at its code points
//   byte    the 256 bytes of UTF-8, no file
//   pinyin  a token of any length a line; texts come as lists of tokens, or are cut at their code
//           points
//   custom  as pinyin, but the first line may be anything
//
// An id is the 0-based number of a line. Id 0 stands for every unknown token too, so it must be the
// space, but for `custom`. The names, and the rules of the last two, are those of F5-TTS's
// get_tokenizer and list_str_to_idx.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata::trainer {

inline constexpr std::size_t kVocabularyMax = 100'000;  // lines

enum class Tokenizer { kChar, kByte, kPinyin, kCustom };
[[nodiscard]] const char* name_of(Tokenizer tokenizer);
[[nodiscard]] const std::vector<std::string>& tokenizer_names();
[[nodiscard]] std::optional<Tokenizer> tokenizer_of(std::string_view name);

class Vocabulary {
 public:
  // What format() wrote: the vocab.txt of a corpus, or the text in a model.json.
  static Result<Vocabulary> load(const std::filesystem::path& path);
  static Result<Vocabulary> parse(std::string_view text);

  // A file of the user's, as the tokenizer says. Ends of lines are LF or CRLF, with or without one
  // after the last line; nothing else is cut off a line. char: an error where a line is not one
  // character, or one is there twice. pinyin and custom: a token that is there twice has the id of
  // its last line, as in Python's map made line by line, and an empty line is the empty token.
  // REQUIRES: the tokenizer is not byte.
  static Result<Vocabulary> load_lines(const std::filesystem::path& path, Tokenizer tokenizer);
  static Result<Vocabulary> parse_lines(std::string_view text, Tokenizer tokenizer);

  // char: the characters of the texts, sorted by code point, after the space. An error where a text
  // is no UTF-8, or holds a control character.
  static Result<Vocabulary> of_texts(const std::vector<std::string>& texts);
  static Vocabulary bytes();

  [[nodiscard]] Tokenizer tokenizer() const { return tokenizer_; }
  // One more than the largest id: 256, or the number of lines. (Where a token is there twice F5-TTS
  // takes the number of different tokens, and its table is too short for the last ids.)
  [[nodiscard]] std::size_t size() const;
  // One id per code point (byte: per byte). Bad UTF-8 counts as unknown characters.
  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text) const;
  // One id per token; byte: those of the tokens' bytes, one after the other.
  [[nodiscard]] std::vector<std::int64_t> encode(const std::vector<std::string>& tokens) const;
  // Always for byte.
  [[nodiscard]] bool knows(std::string_view token) const;
  // char: the bytes of vocab.txt, a character a line. Others begin with a line that names the
  // tokenizer, which no vocabulary of characters can begin with.
  [[nodiscard]] std::string format() const;

 private:
  static Result<Vocabulary> of_lines(std::vector<std::string> lines, Tokenizer tokenizer);
  [[nodiscard]] std::int64_t id_of(std::string_view token) const;

  Tokenizer tokenizer_ = Tokenizer::kChar;
  std::vector<std::string> lines_{};  // none for byte
  std::map<std::string, std::int64_t, std::less<>> ids_{};
};

}  // namespace strata::trainer

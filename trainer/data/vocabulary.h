// The characters that the model knows. Ids are 0-based line numbers of vocab.txt; the space is id 0
// and stands for every unknown character too, as in F5-TTS's character tokenizer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata::trainer {

inline constexpr std::size_t kVocabularyMax = 100'000;

class Vocabulary {
 public:
  // One character a line, ends of lines LF or CRLF, with or without one after the last. An error
  // where a line is not one character, one is there twice, or the first is not the space.
  static Result<Vocabulary> load(const std::filesystem::path& path);
  static Result<Vocabulary> parse(std::string_view text);
  // The characters of the texts, sorted by code point, after the space. An error where a text is no
  // UTF-8, or holds a control character.
  static Result<Vocabulary> of_texts(const std::vector<std::string>& texts);

  [[nodiscard]] std::size_t size() const { return characters_.size(); }
  // One id per code point; bad UTF-8 counts as unknown characters.
  [[nodiscard]] std::vector<std::int64_t> encode(std::string_view text) const;
  [[nodiscard]] bool knows(char32_t character) const { return ids_.contains(character); }
  // The bytes of vocab.txt.
  [[nodiscard]] std::string format() const;

 private:
  static Result<Vocabulary> of_characters(std::u32string characters);
  std::u32string characters_;
  std::map<char32_t, std::int64_t> ids_;
};

}  // namespace strata::trainer

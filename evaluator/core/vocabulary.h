// From token ids to text: the bytes of all tokens are joined first and decoded then, because one
// token may hold half of a UTF-8 character. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata::evaluator {

inline constexpr std::size_t kVocabularyMax = 1'000'000;  // tokens

class Vocabulary {
 public:
  // A JSON list with the base64 of each token's bytes, in the order of the ids. An empty string is
  // a token without bytes (Whisper's multilingual list has one).
  [[nodiscard]] static Result<Vocabulary> parse(std::string_view json);

  // Ids from `end` on (end of text, language, time stamps) add nothing; the first `end` ends the
  // text. Bad UTF-8 becomes U+FFFD. A negative id, or one between the vocabulary and `end`, is an
  // error.
  [[nodiscard]] Result<std::string> decode(std::span<const std::int64_t> ids,
                                           std::int64_t end) const;
  [[nodiscard]] std::size_t size() const { return tokens_.size(); }

 private:
  std::vector<std::string> tokens_;
};

// Standard alphabet with padding.
[[nodiscard]] Result<std::string> decode_base64(std::string_view text);

}  // namespace strata::evaluator

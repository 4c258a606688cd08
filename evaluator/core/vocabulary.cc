#include "evaluator/core/vocabulary.h"

#include "base/json.h"
#include "base/utf8.h"

namespace strata::evaluator {
namespace {

int sextet(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

}  // namespace

Result<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0)
    return fail(ErrorCode::kInvalid, "base64 text has {} characters, no multiple of four",
                text.size());
  std::string bytes;
  for (std::size_t at = 0; at < text.size(); at += 4) {
    unsigned bits = 0;
    int padding = 0;
    for (std::size_t i = at; i < at + 4; ++i) {
      const bool pad = text[i] == '=' && at + 4 == text.size() && i >= at + 2;
      const int value = pad ? 0 : sextet(text[i]);
      if (value < 0 || (padding > 0 && !pad))
        return fail(ErrorCode::kInvalid, "base64 text has a wrong character at {}", i);
      padding += pad ? 1 : 0;
      bits = bits << 6U | static_cast<unsigned>(value);
    }
    for (int byte = 0; byte < 3 - padding; ++byte)
      bytes += static_cast<char>(bits >> (16 - 8 * byte) & 0xFFU);
  }
  return bytes;
}

Result<Vocabulary> Vocabulary::parse(std::string_view json) {
  auto list = parse_json(json);
  if (!list) return tl::unexpected(list.error().while_doing("vocabulary"));
  const Array* items = list->if_array();
  if (items == nullptr || items->empty() || items->size() > kVocabularyMax) {
    return fail(ErrorCode::kInvalid, "vocabulary: expected a list of 1 to {} base64 strings",
                kVocabularyMax);
  }
  Vocabulary vocabulary;
  vocabulary.tokens_.reserve(items->size());
  for (std::size_t id = 0; id < items->size(); ++id) {
    const std::string* text = (*items)[id].if_string();
    if (text == nullptr) return fail(ErrorCode::kInvalid, "vocabulary: token {} is no string", id);
    auto bytes = decode_base64(*text);
    if (!bytes)
      return tl::unexpected(bytes.error().while_doing(fmt::format("vocabulary: token {}", id)));
    vocabulary.tokens_.push_back(std::move(*bytes));
  }
  return vocabulary;
}

Result<std::string> Vocabulary::decode(std::span<const std::int64_t> ids, std::int64_t end) const {
  std::string bytes;
  for (const std::int64_t id : ids) {
    if (id == end) break;
    if (id > end) continue;
    if (id < 0 || static_cast<std::size_t>(id) >= tokens_.size()) {
      return fail(ErrorCode::kInvalid, "token {} is not in the vocabulary of {}", id,
                  tokens_.size());
    }
    bytes += tokens_[static_cast<std::size_t>(id)];
  }
  return encode_utf8(decode_utf8_lossy(bytes));
}

}  // namespace strata::evaluator

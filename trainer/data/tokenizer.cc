#include "trainer/data/tokenizer.h"

#include "base/assert.h"

namespace strata::trainer {

std::vector<std::int64_t> token_ids(const Vocabulary& vocabulary, const Item& item) {
  return item.tokens.empty() ? vocabulary.encode(item.text) : vocabulary.encode(item.tokens);
}

std::vector<std::int64_t> joined_token_ids(const Vocabulary& vocabulary, const Item& prompt,
                                           const Item& item, std::string_view joined) {
  if (prompt.tokens.empty() && item.tokens.empty()) return vocabulary.encode(joined);
  STRATA_ASSERT(joined.size() >= prompt.text.size() + item.text.size());
  STRATA_ASSERT(joined.starts_with(prompt.text));
  STRATA_ASSERT(joined.ends_with(item.text));
  joined.remove_prefix(prompt.text.size());
  joined.remove_suffix(item.text.size());
  std::vector<std::int64_t> ids = token_ids(vocabulary, prompt);
  for (const auto& next : {vocabulary.encode(joined), token_ids(vocabulary, item)})
    ids.insert(ids.end(), next.begin(), next.end());
  return ids;
}

}  // namespace strata::trainer

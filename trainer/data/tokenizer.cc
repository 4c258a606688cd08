#include "trainer/data/tokenizer.h"

namespace strata::trainer {

std::vector<std::int64_t> token_ids(const Vocabulary& vocabulary, const Item& item) {
  return item.tokens.empty() ? vocabulary.encode(item.text) : vocabulary.encode(item.tokens);
}

std::vector<std::int64_t> joined_token_ids(const Vocabulary& vocabulary, const Item& prompt,
                                           const Item& item) {
  std::vector<std::int64_t> ids = token_ids(vocabulary, prompt);
  for (const auto& next : {vocabulary.encode(" "), token_ids(vocabulary, item)})
    ids.insert(ids.end(), next.begin(), next.end());
  return ids;
}

}  // namespace strata::trainer

// From what an item says to the ids that a model reads.
#pragma once

#include <cstdint>
#include <vector>

#include "trainer/data/manifest.h"
#include "trainer/data/vocabulary.h"

namespace strata::trainer {

// Of the item's list of tokens where it has one, else of its text.
[[nodiscard]] std::vector<std::int64_t> token_ids(const Vocabulary& vocabulary, const Item& item);

// The prompt's, a space, the item's. Where only one of the two has a list of tokens the other is
// cut as a text, which gives the same ids.
[[nodiscard]] std::vector<std::int64_t> joined_token_ids(const Vocabulary& vocabulary,
                                                         const Item& prompt, const Item& item);

}  // namespace strata::trainer

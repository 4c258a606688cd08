// From what an item says to the ids that a model reads.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "trainer/data/manifest.h"
#include "trainer/data/vocabulary.h"

namespace strata::trainer {

// Of the item's list of tokens where it has one, else of its text.
[[nodiscard]] std::vector<std::int64_t> token_ids(const Vocabulary& vocabulary, const Item& item);

// Of `joined`: the prompt's text, something between, the item's text. Where one of the two has a
// list of tokens its ids are those of the list; what is between is cut as a text. REQUIRES, where
// one has a list: `joined` is made so of both texts.
[[nodiscard]] std::vector<std::int64_t> joined_token_ids(const Vocabulary& vocabulary,
                                                         const Item& prompt, const Item& item,
                                                         std::string_view joined);

}  // namespace strata::trainer

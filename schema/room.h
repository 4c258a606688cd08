// What a task needs beside what workers offer, in the words that `explain`, `watch` and `plan` all
// use. Only what never passes: what is busy now is the coordinator's business (core/placement.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "schema/task.h"

namespace strata {

struct Offer {  // of a worker that takes new tasks
  std::int64_t slots = 0;
  std::int64_t memory_mb = 0;  // 0: it does not say, and is never too small
  std::vector<std::string> labels{};
};

[[nodiscard]] bool carries(const std::vector<std::string>& there,
                           const std::vector<std::string>& wanted);

// "needs 4 slots together and 100 MiB with label gpu"
[[nodiscard]] std::string needs_text(const Resources& needs);

// "needs 16 slots together; the largest worker has 2"; empty: one of them could hold it alone.
[[nodiscard]] std::string why_never(const Resources& needs, const std::vector<Offer>& offers);

}  // namespace strata

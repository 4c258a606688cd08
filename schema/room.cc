#include "schema/room.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace strata {

bool carries(const std::vector<std::string>& there, const std::vector<std::string>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& label) {
    return std::find(there.begin(), there.end(), label) != there.end();
  });
}

std::string needs_text(const Resources& needs) {
  std::string text =
      needs.slots == 1 ? "needs 1 slot" : fmt::format("needs {} slots together", needs.slots);
  if (needs.memory_mb > 0) text += fmt::format(" and {} MiB", needs.memory_mb);
  if (!needs.labels.empty())
    text += fmt::format(" with label {}", fmt::join(needs.labels, " and "));
  return text;
}

std::string why_never(const Resources& needs, const std::vector<Offer>& offers) {
  bool labelled = false;
  std::int64_t slots = 0;
  std::int64_t memory = 0;
  for (const Offer& offer : offers) {
    if (!carries(offer.labels, needs.labels)) continue;
    labelled = true;
    slots = std::max(slots, offer.slots);
    if (offer.slots < needs.slots) continue;
    memory = std::max(memory, offer.memory_mb);
    if (offer.memory_mb == 0 || offer.memory_mb >= needs.memory_mb) return "";
  }
  const std::string need = needs_text(needs);
  if (!labelled) return need + "; no worker that takes new tasks carries it";
  if (slots < needs.slots) return fmt::format("{}; the largest worker has {}", need, slots);
  return fmt::format("{}; the largest worker has {} MiB", need, memory);
}

}  // namespace strata

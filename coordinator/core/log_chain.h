// Every event of the log is chained to the one before it by a checksum, so a lost, changed,
// exchanged or torn one is found when the log is read.
#pragma once

#include <cstdint>
#include <string_view>

namespace strata::coordinator {

// The `chain` of the event `seq` that follows one with the chain `before` (0 at the beginning).
[[nodiscard]] std::uint32_t chained(std::uint32_t before, std::uint64_t seq,
                                    std::string_view frame);

}  // namespace strata::coordinator

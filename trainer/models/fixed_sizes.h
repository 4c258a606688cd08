// Sizes that are the same in every model of F5-TTS, E2-TTS and A-DMA, and so no parameters of ours:
// layers are made of them, and parameters, operations and memory counted.
#pragma once

#include <cstdint>

namespace strata::trainer {

inline constexpr std::int64_t kTimeWidth = 256;  // sines and cosines of a time
inline constexpr std::int64_t kTextKernel = 7;   // depthwise, of the text encoder
inline constexpr std::int64_t kPositionKernel = 31;
inline constexpr std::int64_t kPositionGroups = 16;
inline constexpr std::int64_t kHeadKernel = 3;  // of an alignment head's first two convolutions

}  // namespace strata::trainer

#include "trainer/models/dropout.h"

#include <ATen/Parallel.h>

#include <bit>
#include <cmath>

#include "base/assert.h"
#include "base/random.h"
#include "base/torch/torch.h"

namespace strata::trainer {
namespace {

constexpr double kTwoTo32 = 4294967296.0;

// Two rounds of murmur3's finalizer, the second one with the key's other half: 32 bits a lane, so
// that compilers make vectors of it.
inline std::uint32_t mixed(std::uint32_t place, std::uint32_t low, std::uint32_t high) {
  std::uint32_t h = place + low;
  h ^= h >> 16;
  h *= 0x85EBCA6BU;
  h ^= h >> 13;
  h *= 0xC2B2AE35U;
  h ^= (h >> 16) + high;
  h *= 0x85EBCA6BU;
  h ^= h >> 13;
  h *= 0xC2B2AE35U;
  return h ^ (h >> 16);
}

// The copies for newer processors give the same numbers.
__attribute__((target_clones("default", "avx2", "avx512f"))) void drop(
    const float* from, float* to, std::int64_t begin, std::int64_t end, std::uint32_t low,
    std::uint32_t high, std::uint32_t least, float scale) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::uint32_t h = mixed(static_cast<std::uint32_t>(i), low, high);
    to[i] = h >= least ? from[i] * scale : 0.0F;
  }
}

// bfloat16 is the upper half of a float; what is cut off is rounded to even.
__attribute__((target_clones("default", "avx2", "avx512f"))) void drop(
    const at::BFloat16* from, at::BFloat16* to, std::int64_t begin, std::int64_t end,
    std::uint32_t low, std::uint32_t high, std::uint32_t least, float scale) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::uint32_t h = mixed(static_cast<std::uint32_t>(i), low, high);
    const float wide = std::bit_cast<float>(static_cast<std::uint32_t>(from[i].x) << 16) * scale;
    const auto bits = std::bit_cast<std::uint32_t>(wide);
    const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
    to[i].x = static_cast<std::uint16_t>(h >= least ? rounded : 0U);
  }
}

void drop(const double* from, double* to, std::int64_t begin, std::int64_t end, std::uint32_t low,
          std::uint32_t high, std::uint32_t least, double scale) {
  for (std::int64_t i = begin; i < end; ++i) {
    const std::uint32_t h = mixed(static_cast<std::uint32_t>(i), low, high);
    to[i] = h >= least ? from[i] * scale : 0;
  }
}

template <class T>
void drop_rows(const at::Tensor& x, at::Tensor& y, double rate,
               const std::vector<std::int64_t>& keys) {
  const std::int64_t size = x.numel() / std::ssize(keys);  // of a row
  const auto least = static_cast<std::uint32_t>(std::min(rate * kTwoTo32, kTwoTo32 - 1));
  const double scale = 1 / (1 - rate);
  const T* from = x.const_data_ptr<T>();
  T* to = y.data_ptr<T>();
  at::parallel_for(0, std::ssize(keys), 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t b = first; b < last; ++b) {
      const auto key = static_cast<std::uint64_t>(keys[static_cast<std::size_t>(b)]);
      const auto low = static_cast<std::uint32_t>(key);
      const auto high = static_cast<std::uint32_t>(key >> 32);
      using Scale = std::conditional_t<std::is_same_v<T, double>, double, float>;
      drop(from + b * size, to + b * size, 0, size, low, high, least, static_cast<Scale>(scale));
    }
  });
}

at::Tensor dropped(const at::Tensor& given, double rate, const std::vector<std::int64_t>& keys) {
  const at::Tensor x = given.contiguous();
  at::Tensor y = at::empty_like(x);
  switch (x.scalar_type()) {
    case at::kFloat: drop_rows<float>(x, y, rate, keys); break;
    case at::kDouble: drop_rows<double>(x, y, rate, keys); break;
    case at::kBFloat16: drop_rows<at::BFloat16>(x, y, rate, keys); break;
    default: STRATA_ASSERT(false);
  }
  return y;
}

// The same places are dropped in the gradient.
struct DropoutFunction : torch::autograd::Function<DropoutFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            double rate, const std::vector<std::int64_t>& keys) {
    context->saved_data["rate"] = rate;
    context->saved_data["keys"] = keys;
    return dropped(x, rate, keys);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return {dropped(gradients[0], context->saved_data["rate"].toDouble(),
                    context->saved_data["keys"].toIntVector()),
            {},
            {}};
  }
};

}  // namespace

at::Tensor Dropout::operator()(const at::Tensor& x) const {
  if (rate == 0 || keys.empty()) return x;
  STRATA_ASSERT(x.size(0) == std::ssize(keys));
  return DropoutFunction::apply(x, rate, keys);
}

Dropout RowDropout::at(std::int64_t place) const {
  Dropout dropout{.rate = rate};
  for (const std::uint64_t seed : seeds) {
    const std::uint64_t key = Random::hash(seed + static_cast<std::uint64_t>(place));
    dropout.keys.push_back(static_cast<std::int64_t>(key));
  }
  return dropout;
}

}  // namespace strata::trainer

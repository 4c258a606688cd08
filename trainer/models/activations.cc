#include "trainer/models/activations.h"

#include <ATen/Parallel.h>

#include <bit>
#include <cmath>
#include <cstdint>

#include "trainer/models/vector_loops.h"

namespace strata::trainer {
namespace {

// e^x for |x| <= 87, within 2 units of the last place: 2^k e^r with |r| <= ln(2) / 2, the
// polynomial of Cephes' expf. Without a call or a branch, so that loops over it become vector
// instructions.
STRATA_INLINE float exponential(float x) {
  constexpr float kRound = 12'582'912.0F;  // 1.5 * 2^23: adding it leaves an integer
  const float shifted = x * 1.44269504088896341F + kRound;
  const float k = shifted - kRound;
  const float r = (x - k * 0.693359375F) + k * 2.12194440e-4F;  // ln(2) in two parts
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float e = p * r * r + r + 1.0F;
  const auto exponent = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(kRound);
  return e * std::bit_cast<float>((exponent + 127) << 23);
}
STRATA_INLINE double exponential(double x) { return std::exp(x); }

// What is no number stays none.
template <class T>
STRATA_INLINE T raised(T x, T low) {
  return x < low ? low : x;
}
template <class T>
STRATA_INLINE T clamped(T x, T low, T high) {
  return raised(x, low) > high ? high : raised(x, low);
}

// Both are x or 0 within rounding, and their slopes 1 or 0, beyond the bounds of the clamped x; so
// an infinite x would go unnoticed.
template <class T>
STRATA_INLINE T nan_unless_finite(T x) {
  return x - x;
}

struct Mish {
  // With w = e^x: tanh(log(1 + w)) = n / (n + 2), n = w (w + 2).
  template <class T>
  static STRATA_INLINE T value(T x) {
    const T w = exponential(clamped(x, T(-87), T(20)));
    const T n = w * (w + 2);
    return raised(x, T(-87)) * (n / (n + 2)) + nan_unless_finite(x);
  }
  template <class T>
  static STRATA_INLINE T slope(T x) {
    const T near = clamped(x, T(-87), T(20));
    const T w = exponential(near);
    const T n = w * (w + 2);
    const T inverse = 1 / (n + 2);
    return inverse * (n + 4 * near * w * (1 + w) * inverse) + nan_unless_finite(x);
  }
};

struct GeluTanh {
  static constexpr double kScale = 2 * 0.79788456080286535588;  // 2 sqrt(2 / pi)
  static constexpr double kCubic = 0.044715;
  template <class T>
  static STRATA_INLINE T exponential_of(T x) {  // e^(-2u)
    const T minus_2u = -T(kScale) * (x + T(kCubic) * x * x * x);
    return exponential(clamped(minus_2u, T(-87), T(87)));
  }
  template <class T>
  static STRATA_INLINE T value(T x) {
    return raised(x, T(-20)) / (1 + exponential_of(clamped(x, T(-20), T(20)))) +
           nan_unless_finite(x);
  }
  template <class T>
  static STRATA_INLINE T slope(T x) {
    const T near = clamped(x, T(-20), T(20));
    const T e = exponential_of(near);
    const T s = 1 / (1 + e);
    return s + near * s * (e * s) * T(kScale) * (1 + 3 * T(kCubic) * near * near) +
           nan_unless_finite(x);
  }
};

// ==== Loops

template <class A, class T>
STRATA_INLINE void values_loop(const T* __restrict x, T* __restrict y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) y[i] = A::value(x[i]);
}
template <class A, class T>
STRATA_INLINE void gradients_loop(const T* __restrict g, const T* __restrict x, T* __restrict dx,
                                  std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) dx[i] = g[i] * A::slope(x[i]);
}

// Clones are of functions, not of templates.
STRATA_CLONES void values(Mish, const float* x, float* y, std::int64_t count) {
  values_loop<Mish>(x, y, count);
}
STRATA_CLONES void values(GeluTanh, const float* x, float* y, std::int64_t count) {
  values_loop<GeluTanh>(x, y, count);
}
STRATA_CLONES void gradients(Mish, const float* g, const float* x, float* dx, std::int64_t count) {
  gradients_loop<Mish>(g, x, dx, count);
}
STRATA_CLONES void gradients(GeluTanh, const float* g, const float* x, float* dx,
                             std::int64_t count) {
  gradients_loop<GeluTanh>(g, x, dx, count);
}
template <class A>
void values(A, const double* x, double* y, std::int64_t count) {
  values_loop<A>(x, y, count);
}
template <class A>
void gradients(A, const double* g, const double* x, double* dx, std::int64_t count) {
  gradients_loop<A>(g, x, dx, count);
}

constexpr std::int64_t kGrain = 32'768;  // numbers of a task

template <class F>
void for_type(const at::Tensor& x, F f) {
  if (x.scalar_type() == at::kFloat) return f(float{});
  f(double{});
}

template <class A>
struct Activation : torch::autograd::Function<Activation<A>> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& given) {
    // As it lies in memory, if there are no holes in it.
    const at::Tensor x = given.is_non_overlapping_and_dense() ? given : given.contiguous();
    at::Tensor y = at::empty_like(x);
    for_type(x, [&]<class T>(T) {
      at::parallel_for(0, x.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        values(A(), x.const_data_ptr<T>() + begin, y.data_ptr<T>() + begin, end - begin);
      });
    });
    context->save_for_backward({x});
    return y;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients_of_y) {
    const at::Tensor x = context->get_saved_variables()[0];
    at::Tensor dx = at::empty_like(x);
    at::Tensor g = gradients_of_y[0].to(x.scalar_type());
    if (g.strides() != x.strides()) g = at::empty_like(x).copy_(g);
    for_type(x, [&]<class T>(T) {
      at::parallel_for(0, x.numel(), kGrain, [&](std::int64_t begin, std::int64_t end) {
        gradients(A(), g.const_data_ptr<T>() + begin, x.const_data_ptr<T>() + begin,
                  dx.data_ptr<T>() + begin, end - begin);
      });
    });
    return {dx};
  }
};

bool is_of_loops(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble);
}

}  // namespace

// Other precisions and devices have torch's.

at::Tensor mish(const at::Tensor& x) {
  return is_of_loops(x) ? Activation<Mish>::apply(x) : at::mish(x);
}

at::Tensor gelu_tanh(const at::Tensor& x) {
  return is_of_loops(x) ? Activation<GeluTanh>::apply(x) : at::gelu(x, "tanh");
}

}  // namespace strata::trainer

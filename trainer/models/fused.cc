#include "trainer/models/fused.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/assert.h"
#include "trainer/models/precision.h"
#include "trainer/models/vector_loops.h"

namespace strata::trainer {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// ==== Loops over rows of channels
// A task is one utterance and up to kLane channels, whose sums stay in the nearest cache. Sums over
// time are made of float sums over kRun frames: their error does not grow with the length.

constexpr std::int64_t kLane = 512;
constexpr std::int64_t kRun = 32;
constexpr std::int64_t kKernelMost = 7;  // of depthwise_convolution

struct Rows {  // of one utterance and some of its channels
  std::int64_t frames = 0;
  std::int64_t stride = 0;  // between frames
  std::int64_t width = 0;   // channels, at most kLane
};

// dx = g * s; ds = sum of g * x; db = sum of g.
template <class T>
STRATA_INLINE void scale_backward_loop(const T* __restrict g, const T* __restrict x,
                                       const T* __restrict s, T* __restrict dx, T* __restrict ds,
                                       T* __restrict db, Rows rows) {
  std::array<double, kLane> all_s{};
  std::array<double, kLane> all_b{};
  for (std::int64_t begin = 0; begin < rows.frames; begin += kRun) {
    std::array<T, kLane> run_s{};
    std::array<T, kLane> run_b{};
    for (std::int64_t n = begin; n < std::min(rows.frames, begin + kRun); ++n) {
      const std::int64_t at = n * rows.stride;
      for (std::int64_t c = 0; c < rows.width; ++c) {
        run_s[c] += g[at + c] * x[at + c];
        run_b[c] += g[at + c];
        dx[at + c] = g[at + c] * s[c];
      }
    }
    for (std::int64_t c = 0; c < rows.width; ++c) {
      all_s[c] += run_s[c];
      all_b[c] += run_b[c];
    }
  }
  for (std::int64_t c = 0; c < rows.width; ++c) {
    ds[c] = static_cast<T>(all_s[c]);
    db[c] = static_cast<T>(all_b[c]);
  }
}
STRATA_CLONES void scale_backward(const float* g, const float* x, const float* s, float* dx,
                                  float* ds, float* db, Rows rows) {
  scale_backward_loop(g, x, s, dx, ds, db, rows);
}
void scale_backward(const double* g, const double* x, const double* s, double* dx, double* ds,
                    double* db, Rows rows) {
  scale_backward_loop(g, x, s, dx, ds, db, rows);
}

// The sum of squares over time.
template <class T>
STRATA_INLINE void squares_loop(const T* __restrict x, T* __restrict sums, Rows rows) {
  std::array<double, kLane> all{};
  for (std::int64_t begin = 0; begin < rows.frames; begin += kRun) {
    std::array<T, kLane> run{};
    for (std::int64_t n = begin; n < std::min(rows.frames, begin + kRun); ++n) {
      const T* row = x + n * rows.stride;
      for (std::int64_t c = 0; c < rows.width; ++c) run[c] += row[c] * row[c];
    }
    for (std::int64_t c = 0; c < rows.width; ++c) all[c] += run[c];
  }
  for (std::int64_t c = 0; c < rows.width; ++c) sums[c] = static_cast<T>(all[c]);
}
STRATA_CLONES void squares(const float* x, float* sums, Rows rows) { squares_loop(x, sums, rows); }
void squares(const double* x, double* sums, Rows rows) { squares_loop(x, sums, rows); }

// y[n] = b + sum over k of w[k] * x[n + k - K/2]; w (K, C) with rows of `stride`.
template <class T>
STRATA_INLINE void convolve_loop(const T* __restrict x, const T* __restrict w,
                                 const T* __restrict b, T* __restrict y, std::int64_t kernel,
                                 Rows rows) {
  for (std::int64_t n = 0; n < rows.frames; ++n) {
    std::array<T, kLane> sum{};
    for (std::int64_t c = 0; b != nullptr && c < rows.width; ++c) sum[c] = b[c];
    const std::int64_t first = n - kernel / 2;
    const std::int64_t end = std::min(kernel, rows.frames - first);
    for (std::int64_t k = std::max<std::int64_t>(0, -first); k < end; ++k) {
      const T* from = x + (first + k) * rows.stride;
      const T* by = w + k * rows.stride;
      for (std::int64_t c = 0; c < rows.width; ++c) sum[c] += by[c] * from[c];
    }
    std::copy_n(sum.begin(), rows.width, y + n * rows.stride);
  }
}
STRATA_CLONES void convolve(const float* x, const float* w, const float* b, float* y,
                            std::int64_t kernel, Rows rows) {
  convolve_loop(x, w, b, y, kernel, rows);
}
void convolve(const double* x, const double* w, const double* b, double* y, std::int64_t kernel,
              Rows rows) {
  convolve_loop(x, w, b, y, kernel, rows);
}

// dw[k] = sum over n of g[n] * x[n + k - K/2]; dw (K, C) with rows of `stride`.
template <class T>
STRATA_INLINE void kernel_gradient_loop(const T* __restrict g, const T* __restrict x,
                                        T* __restrict dw, std::int64_t kernel, Rows rows) {
  std::array<std::array<double, kLane>, kKernelMost> all{};
  for (std::int64_t begin = 0; begin < rows.frames; begin += kRun) {
    for (std::int64_t k = 0; k < kernel; ++k) {
      const std::int64_t ahead = k - kernel / 2;
      const std::int64_t first = std::max(begin, -ahead);
      const std::int64_t last = std::min({begin + kRun, rows.frames, rows.frames - ahead});
      std::array<T, kLane> run{};
      for (std::int64_t n = first; n < last; ++n) {
        const T* grow = g + n * rows.stride;
        const T* xrow = x + (n + ahead) * rows.stride;
        for (std::int64_t c = 0; c < rows.width; ++c) run[c] += grow[c] * xrow[c];
      }
      for (std::int64_t c = 0; c < rows.width; ++c) all[k][c] += run[c];
    }
  }
  for (std::int64_t k = 0; k < kernel; ++k) {
    for (std::int64_t c = 0; c < rows.width; ++c)
      dw[k * rows.stride + c] = static_cast<T>(all[k][c]);
  }
}
STRATA_CLONES void kernel_gradient(const float* g, const float* x, float* dw, std::int64_t kernel,
                                   Rows rows) {
  kernel_gradient_loop(g, x, dw, kernel, rows);
}
void kernel_gradient(const double* g, const double* x, double* dw, std::int64_t kernel, Rows rows) {
  kernel_gradient_loop(g, x, dw, kernel, rows);
}

// f(offset of the first frame's channels in x, offset in (B, C), rows) for every task of x.
template <class F>
void for_each_lane(const at::Tensor& x, F f) {
  const std::int64_t frames = x.size(1);
  const std::int64_t channels = x.size(2);
  const std::int64_t lanes = (channels + kLane - 1) / kLane;
  at::parallel_for(0, x.size(0) * lanes, 1, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t task = first; task < last; ++task) {
      const std::int64_t b = task / lanes;
      const std::int64_t c = task % lanes * kLane;
      f(b * frames * channels + c, b * channels + c, c,
        Rows{.frames = frames, .stride = channels, .width = std::min(kLane, channels - c)});
    }
  });
}

// f(T()) with T of a tensor's elements.
template <class F>
void for_type(const at::Tensor& x, F f) {
  if (x.scalar_type() == at::kFloat) return f(float{});
  STRATA_ASSERT(x.scalar_type() == at::kDouble);
  f(double{});
}

struct ScaleGradients {
  at::Tensor dx{};        // (B, N, C)
  at::Tensor ds{}, db{};  // (B, C)
};

// Of x * s + b, s (B, C), b per utterance or not, in the precision of `gradient`.
ScaleGradients scale_gradients(const at::Tensor& gradient, const at::Tensor& given,
                               const at::Tensor& scale) {
  const at::Tensor x = given.to(gradient.scalar_type());
  const at::Tensor s = scale.to(gradient.scalar_type());
  const at::Tensor g = gradient.contiguous();
  ScaleGradients out{.dx = at::empty_like(x), .ds = at::empty_like(s), .db = at::empty_like(s)};
  for_type(x, [&]<class T>(T) {
    for_each_lane(x, [&](std::int64_t at, std::int64_t row, std::int64_t, Rows rows) {
      scale_backward(g.const_data_ptr<T>() + at, x.const_data_ptr<T>() + at,
                     s.const_data_ptr<T>() + row, out.dx.data_ptr<T>() + at,
                     out.ds.data_ptr<T>() + row, out.db.data_ptr<T>() + row, rows);
    });
  });
  return out;
}

// ==== The operations

// Tensors of the utterances side by side; that of one alone is not copied.
at::Tensor together(const std::vector<at::Tensor>& each) {
  return each.size() == 1 ? each.front().unsqueeze(0) : at::stack(each);
}

// torch's own layer norm, utterance by utterance, with 1 + scale and shift as its parameters.
struct ModulatedNorm : torch::autograd::Function<ModulatedNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given,
                            const at::Tensor& scale, const at::Tensor& shift, double epsilon) {
    const at::Tensor x = given.contiguous();
    const at::Tensor gain = 1 + scale.to(x.scalar_type());  // (B, C)
    const at::Tensor addend = shift.to(x.scalar_type());    // (B, C)
    variable_list kept{x, gain, addend};
    std::vector<at::Tensor> normal;  // each (N, C)
    for (std::int64_t b = 0; b < x.size(0); ++b) {
      const auto [y, mean, inverse] =
          at::native_layer_norm(x[b], {x.size(2)}, gain[b], addend[b], epsilon);
      normal.push_back(as_computed(y));
      kept.push_back(mean);     // (N, 1)
      kept.push_back(inverse);  // (N, 1), of the deviation
    }
    context->save_for_backward(std::move(kept));
    return together(normal);
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor g = gradients[0].contiguous();
    std::vector<at::Tensor> dx;      // each (N, C)
    std::vector<at::Tensor> dscale;  // each (C)
    std::vector<at::Tensor> dshift;  // each (C)
    for (std::int64_t b = 0; b < x.size(0); ++b) {
      const auto at = static_cast<std::size_t>(3 + 2 * b);
      auto [own, scale, shift] = at::native_layer_norm_backward(
          g[b].to(x.scalar_type()), x[b], {x.size(2)}, saved[at], saved[at + 1], saved[1][b],
          saved[2][b], {true, true, true});
      dx.push_back(std::move(own));
      dscale.push_back(std::move(scale));
      dshift.push_back(std::move(shift));
    }
    return {together(dx), together(dscale), together(dshift), {}};
  }
};

struct GatedSum : torch::autograd::Function<GatedSum> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& gate,
                            const at::Tensor& y) {
    context->save_for_backward({gate.contiguous(), y.contiguous()});
    return at::addcmul(x, gate.unsqueeze(1).to(x.scalar_type()), y.to(x.scalar_type()));
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const ScaleGradients own = scale_gradients(gradients[0], saved[1], saved[0]);
    return {gradients[0], own.ds, own.dx};
  }
};

struct ResponseNorm : torch::autograd::Function<ResponseNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given,
                            const at::Tensor& gamma, const at::Tensor& beta, double epsilon) {
    const at::Tensor x = given.to(gamma.scalar_type()).contiguous();
    at::Tensor strength = at::empty({x.size(0), x.size(2)}, x.options());  // (B, C)
    for_type(x, [&]<class T>(T) {
      for_each_lane(x, [&](std::int64_t at, std::int64_t row, std::int64_t, Rows rows) {
        squares(x.const_data_ptr<T>() + at, strength.data_ptr<T>() + row, rows);
      });
    });
    strength.sqrt_();
    const at::Tensor floor = strength.mean(1, /*keepdim=*/true) + epsilon;  // (B, 1)
    const at::Tensor gain = 1 + gamma.view({1, -1}) * strength / floor;     // (B, C)
    context->save_for_backward({x, gamma, strength, floor, gain});
    return as_computed(at::addcmul(beta, x, gain.unsqueeze(1)));
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& strength = saved[2];
    const at::Tensor& floor = saved[3];
    const ScaleGradients own = scale_gradients(gradients[0].to(x.scalar_type()), x, saved[4]);
    const at::Tensor dgamma = (own.ds * strength / floor).sum(0);  // (C)
    // Through the norms: of a channel's own, and of the mean of all.
    const at::Tensor drelative = own.ds * saved[1].view({1, -1});  // (B, C)
    const at::Tensor dstrength =
        drelative / floor - (drelative * strength).sum(1, true) /
                                (floor.square() * static_cast<double>(x.size(2)));  // (B, C)
    // A channel that is 0 throughout has no direction: its norm's gradient is taken as 0.
    const at::Tensor along =
        at::where(strength > 0, dstrength / strength, at::zeros({}, strength.options()));  // (B, C)
    const at::Tensor dx = own.dx.addcmul_(x, along.unsqueeze(1));  // (B, N, C)
    return {dx, dgamma.view_as(saved[1]), own.db.sum(0).view_as(saved[1]), {}};
  }
};

struct RootNorm : torch::autograd::Function<RootNorm> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            double epsilon) {
    const at::Tensor wide = x.to(weight.scalar_type());
    const at::Tensor inverse = (wide.square().mean(-1, true) + epsilon).rsqrt();  // (..., 1)
    context->save_for_backward({x, weight, inverse});
    return (wide * inverse).mul_(weight).to(x.scalar_type());
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& weight = saved[1];
    const at::Tensor normal = saved[0].to(weight.scalar_type()) * saved[2];   // (..., C)
    const at::Tensor g = gradients[0].to(weight.scalar_type());               // (..., C)
    const at::Tensor dweight = (g * normal).flatten(0, -2).sum(0);            // (C)
    const at::Tensor dnormal = g * weight;                                    // (..., C)
    const at::Tensor along = (dnormal * normal).mean(-1, true);               // (..., 1)
    const at::Tensor dx = dnormal.addcmul(normal, along, -1).mul_(saved[2]);  // (..., C)
    return {dx.to(saved[0].scalar_type()), dweight, {}};
  }
};

struct DepthwiseConvolution : torch::autograd::Function<DepthwiseConvolution> {
  static at::Tensor convolved(const at::Tensor& x, const at::Tensor& rows, const at::Tensor& bias) {
    at::Tensor y = at::empty_like(x);
    for_type(x, [&]<class T>(T) {
      for_each_lane(x, [&](std::int64_t at, std::int64_t, std::int64_t c, Rows r) {
        convolve(x.const_data_ptr<T>() + at, rows.const_data_ptr<T>() + c,
                 bias.defined() ? bias.const_data_ptr<T>() + c : nullptr, y.data_ptr<T>() + at,
                 rows.size(0), r);
      });
    });
    return y;
  }
  static at::Tensor forward(AutogradContext* context, const at::Tensor& given,
                            const at::Tensor& weight, const at::Tensor& bias) {
    const at::Tensor x = given.to(weight.scalar_type()).contiguous();
    const at::Tensor rows = weight.squeeze(1).t().contiguous();  // (K, C)
    STRATA_ASSERT(rows.size(0) % 2 == 1 && rows.size(0) <= kKernelMost);
    context->save_for_backward({x, rows});
    return convolved(x, rows, bias.contiguous());
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& rows = saved[1];
    const at::Tensor g = gradients[0].to(x.scalar_type()).contiguous();
    at::Tensor each = at::empty({x.size(0), rows.size(0), x.size(2)}, x.options());  // (B, K, C)
    for_type(x, [&]<class T>(T) {
      for_each_lane(x, [&](std::int64_t at, std::int64_t row, std::int64_t c, Rows r) {
        const std::int64_t own = (row - c) * rows.size(0) + c;
        kernel_gradient(g.const_data_ptr<T>() + at, x.const_data_ptr<T>() + at,
                        each.data_ptr<T>() + own, rows.size(0), r);
      });
    });
    const at::Tensor dweight = each.sum(0).t().unsqueeze(1);  // (C, 1, K)
    const at::Tensor dbias = g.sum(at::IntArrayRef{0, 1});    // (C)
    return {convolved(g, rows.flip(0).contiguous(), {}), dweight.contiguous(), dbias};
  }
};

}  // namespace

at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                          double epsilon) {
  return ModulatedNorm::apply(x, scale, shift, epsilon);
}

at::Tensor gated_sum(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& y) {
  return GatedSum::apply(x, gate, y);
}

at::Tensor response_norm(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta,
                         double epsilon) {
  return ResponseNorm::apply(x, gamma, beta, epsilon);
}

at::Tensor root_norm(const at::Tensor& x, const at::Tensor& weight, double epsilon) {
  return RootNorm::apply(x, weight, epsilon);
}

at::Tensor depthwise_convolution(const at::Tensor& x, const at::Tensor& weight,
                                 const at::Tensor& bias) {
  return DepthwiseConvolution::apply(x, weight, bias);
}

}  // namespace strata::trainer

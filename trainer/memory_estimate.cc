#include "trainer/memory_estimate.h"

#include <algorithm>

#include "trainer/models/fixed_sizes.h"

namespace strata::trainer {
namespace {

constexpr double kFloatBytes = 4;

// Fitted to the peaks in memory_estimate_test.cc: passing gradients and copies beside what is kept
// for them, in float32 and in bfloat16; gradients of the largest parameter; libraries and their
// buffers.
constexpr double kKeptShare = 1.07;
constexpr double kKeptShareOfBfloat16 = 0.82;
constexpr double kWidestShare = 0.75;
constexpr double kProgramBytes = 140 << 20;
constexpr double kBfloat16Bytes = 2;
// Of a float for each pair of frames and each head, where keys are hidden.
constexpr double kHiddenKeysShare = 0.75;

std::int64_t linear(std::int64_t from, std::int64_t to) { return from * to + to; }

std::int64_t attention(const ModelConfig& m) {
  const std::int64_t inner = m.heads * m.dim_head;
  return 3 * linear(m.dim, inner) + linear(inner, m.dim) + (m.qk_norm ? 2 * m.dim_head : 0);
}

std::int64_t feed_forward(const ModelConfig& m) {
  return linear(m.dim, m.dim * m.ff_mult) + linear(m.dim * m.ff_mult, m.dim);
}

std::int64_t embeddings(const ModelConfig& m) {
  const std::int64_t c = m.text_dim;
  const std::int64_t time = linear(kTimeWidth, m.dim) + linear(m.dim, m.dim);
  const std::int64_t next = linear(kTextKernel, c)                 // each channel by itself
                            + 2 * c                                // norm
                            + linear(c, 2 * c) + linear(2 * c, c)  // widen, narrow
                            + 2 * 2 * c;                           // response norm
  const std::int64_t position = m.dim * (m.dim / kPositionGroups) * kPositionKernel + m.dim;
  return time + (m.vocabulary + 1) * c + m.conv_layers * next + linear(2 * m.mel + c, m.dim) +
         2 * position;
}

// Of one head: two convolutions with norms, and one of a single frame.
std::int64_t head(std::int64_t dim, std::int64_t hidden, std::int64_t width) {
  return linear(dim * kHeadKernel, hidden) + linear(hidden * kHeadKernel, hidden) + 2 * 2 * hidden +
         linear(hidden, width);
}

// Elements of the largest parameter: its gradient is made beside the flat buffer, and moved there.
std::int64_t widest_parameter(const ModelConfig& m, const AlignConfig& align) {
  const bool dit = m.architecture == Architecture::kDit;
  std::int64_t widest = m.dim * m.dim * std::max<std::int64_t>(m.ff_mult, dit ? 6 : 2);
  widest = std::max(widest, (m.vocabulary + 1) * m.text_dim);
  if (align.has_text() || align.has_speech())
    widest = std::max(widest, kHeadKernel * align.hidden * std::max(align.hidden, m.dim));
  return widest;
}

// ---- floats that a part keeps for its backward pass, for each padded frame

double block_floats(const ModelConfig& m, std::int64_t frames) {
  const double d = static_cast<double>(m.dim);
  const double inner = static_cast<double>(m.heads * m.dim_head);
  const double wide = d * static_cast<double>(m.ff_mult);
  // Queries, keys, values and what they give; the feed-forward before and after its GELU.
  double floats = 4 * inner + 2 * wide;
  if (m.qk_norm) floats += 2 * inner;  // queries and keys before it
  if (m.architecture == Architecture::kDit) {
    // The input, the middle, what their modulated norms give, and what the gates multiply.
    floats += 6 * d;
  } else {
    // The input, the middle, both of them normal and scaled; half of the layers join a skip.
    floats += 6 * d + (m.skip == SkipConnection::kConcat ? 1.5 * d : 0);
  }
  // Keys that are hidden become numbers.
  if (m.masks == Masks::kUpstream && m.attention_mask)
    floats += kHiddenKeysShare * static_cast<double>(m.heads * frames);
  return floats;
}

double text_block_floats(const ModelConfig& m) { return 9 * static_cast<double>(m.text_dim); }

double other_floats(const ModelConfig& m) {
  const double d = static_cast<double>(m.dim);
  const double mel = static_cast<double>(m.mel);
  // Position convolutions and the last norm; noise, x_t, condition, velocity, error.
  return 7 * d + 2 * static_cast<double>(m.text_dim) + 10 * mel;
}

// Six of the inner width, and what the loss makes of the outer one.
double head_floats(double hidden, double width) { return 6 * hidden + 4 * width; }

}  // namespace

std::int64_t backbone_parameters(const ModelConfig& m) {
  std::int64_t count = embeddings(m) + linear(m.dim, m.mel);
  const std::int64_t block = attention(m) + feed_forward(m);
  if (m.architecture == Architecture::kDit) {
    count += m.depth * (block + linear(m.dim, 6 * m.dim));
    count += linear(m.dim, 2 * m.dim) + (m.long_skip ? 2 * m.dim * m.dim : 0);
    return count;
  }
  const std::int64_t joins = m.skip == SkipConnection::kConcat ? m.depth / 2 : 0;
  return count + m.depth * (block + 2 * m.dim) + joins * 2 * m.dim * m.dim + m.dim;
}

std::int64_t head_parameters(const ModelConfig& m, const AlignConfig& align) {
  return std::ssize(align.text) * head(m.dim, align.hidden, m.vocabulary + 2) +
         std::ssize(align.speech) * head(m.dim, align.hidden, align.speech_width);
}

double kept_for_backward(const ModelConfig& m, const AlignConfig& align, const ForwardShape& shape,
                         bool recompute) {
  const double block = block_floats(m, shape.frames);
  const double text = text_block_floats(m);
  const auto depth = static_cast<double>(m.depth);
  const auto convolutions = static_cast<double>(m.conv_layers);
  double floats = other_floats(m);
  if (recompute) {
    // The input of every block, and all of the one that is made again.
    floats += depth * static_cast<double>(m.dim) + convolutions * static_cast<double>(m.text_dim);
    floats += std::max(block, m.conv_layers > 0 ? text : 0);
  } else {
    floats += depth * block + convolutions * text;
  }
  const auto utterances = static_cast<double>(shape.utterances);
  double all = floats * static_cast<double>(shape.frames);
  const auto hidden = static_cast<double>(align.hidden);
  all += static_cast<double>(align.text.size()) * static_cast<double>((shape.frames + 1) / 2) *
         head_floats(hidden, static_cast<double>(m.vocabulary + 2));
  all +=
      static_cast<double>(align.speech.size()) * static_cast<double>(shape.teacher_frames) *
      (static_cast<double>(m.dim) + head_floats(hidden, static_cast<double>(align.speech_width)));
  return kFloatBytes * utterances * all;
}

MemoryEstimate estimate_memory(const ModelConfig& model, const AlignConfig& align,
                               const ForwardShape& shape, const PassOptions& pass,
                               const HeldBytes& held) {
  const std::int64_t backbone = backbone_parameters(model);
  MemoryEstimate memory{.parameters = backbone + head_parameters(model, align)};
  memory.weights = kFloatBytes * static_cast<double>(memory.parameters);
  memory.gradients = memory.weights;
  memory.moments = 2 * memory.weights;
  memory.average = memory.weights;
  memory.early = kFloatBytes * static_cast<double>(backbone);
  memory.checkpoint = memory.weights + memory.moments + memory.average + memory.early;
  memory.held = held;
  memory.program = kProgramBytes;
  memory.activations =
      (pass.bfloat16 ? kKeptShareOfBfloat16 : kKeptShare) *
          kept_for_backward(model, align, shape, pass.recompute) +
      kWidestShare * kFloatBytes * static_cast<double>(widest_parameter(model, align));
  // torch keeps the weights that it has rounded until the forward pass has ended.
  if (pass.bfloat16) memory.activations += kBfloat16Bytes * static_cast<double>(memory.parameters);
  return memory;
}

}  // namespace strata::trainer

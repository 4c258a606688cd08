#include "trainer/models/work.h"

#include "trainer/models/fixed_sizes.h"

namespace strata::trainer {
namespace {

constexpr double kPerProduct = 2;

// Of a head over so many of its frames.
double head(double dim, double hidden, double width, double frames) {
  return frames * hidden * (kHeadKernel * dim + kHeadKernel * hidden + width);
}

}  // namespace

double backbone_work(const ModelConfig& config, std::int64_t frames) {
  const auto n = static_cast<double>(frames);
  const auto dim = static_cast<double>(config.dim);
  const auto text = static_cast<double>(config.text_dim);
  const auto mel = static_cast<double>(config.mel);
  const auto depth = static_cast<double>(config.depth);
  const auto inner = static_cast<double>(config.heads * config.dim_head);
  const bool dit = config.architecture == Architecture::kDit;
  const double tokens = dit ? n : n + 1;  // UNetT puts the time in front

  const double time = kTimeWidth * dim + dim * dim;
  // Depthwise, then to twice the width and back.
  const double encoder =
      static_cast<double>(config.conv_layers) * n * (kTextKernel * text + 4 * text * text);
  const double input =
      n * (2 * mel + text) * dim + 2 * n * kPositionKernel * dim * dim / kPositionGroups;
  const double attention = tokens * 4 * dim * inner + 2 * tokens * tokens * inner;
  const double feed_forward = tokens * 2 * dim * dim * static_cast<double>(config.ff_mult);
  double blocks = depth * (attention + feed_forward);
  if (dit) {
    blocks += depth * 6 * dim * dim + 2 * dim * dim;  // modulations
    if (config.long_skip) blocks += n * 2 * dim * dim;
  } else if (config.skip == SkipConnection::kConcat) {
    blocks += (depth - static_cast<double>(config.depth / 2)) * tokens * 2 * dim * dim;
  }
  return kPerProduct * (time + encoder + input + blocks + n * dim * mel);
}

double heads_work(const ModelConfig& config, const AlignConfig& align, std::int64_t frames,
                  std::int64_t teacher_frames) {
  const auto dim = static_cast<double>(config.dim);
  const auto hidden = static_cast<double>(align.hidden);
  const auto spelled = static_cast<double>((frames + 1) / 2);
  double work = static_cast<double>(align.text.size()) *
                head(dim, hidden, static_cast<double>(config.vocabulary + 2), spelled);
  work += static_cast<double>(align.speech.size()) * head(dim, hidden,
                                                          static_cast<double>(align.speech_width),
                                                          static_cast<double>(teacher_frames));
  return kPerProduct * work;
}

}  // namespace strata::trainer

// What holds for any model, whatever its sizes, switches and weights, and for any batch: in
// float64, on tiny models.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

#include "tests/property/trainer/generators.h"
#include "tests/unit/trainer/synthetic.h"
#include "trainer/losses/objective.h"
#include "trainer/models/layers.h"
#include "trainer/probe.h"

namespace strata::trainer {
namespace {

constexpr double kTolerance = 1e-9;

double largest(const at::Tensor& x) { return x.numel() == 0 ? 0 : x.abs().max().item<double>(); }

at::Tensor random_tensor(at::IntArrayRef shape) { return torch::randn(shape, at::kDouble); }

// ---- models

ModelConfig some_config(Architecture architecture) {
  ModelConfig config;
  const bool dit = architecture == Architecture::kDit;
  config.architecture = architecture;
  config.dim = 16 * whole(1, 2);
  config.depth = dit ? whole(1, 3) : 2;
  config.heads = whole(1, 3);
  config.dim_head = 2 * whole(1, 4);
  config.ff_mult = whole(1, 3);
  config.mel = whole(1, 6);
  config.vocabulary = 10;
  config.text_dim = 2 * whole(1, 8);
  config.conv_layers = whole(0, 2);
  config.text_mask_padding = flag();
  config.average_upsampling = dit && config.text_mask_padding && flag();
  config.pe_attn_heads = whole(0, config.heads);
  if (flag()) config.pe_attn_heads.reset();
  config.qk_norm = flag();
  config.long_skip = dit && flag();
  config.skip =
      dit ? SkipConnection::kConcat
          : *rc::gen::element(SkipConnection::kConcat, SkipConnection::kAdd, SkipConnection::kNone);
  config.masks = flag() ? Masks::kUpstream : Masks::kOriginal;
  config.attention_mask = config.masks == Masks::kUpstream && flag();
  config.dropout = 0;
  return config;
}

ModelConfig some_config() {
  return some_config(flag() ? Architecture::kDit : Architecture::kUnett);
}

// With values everywhere: nothing is zero, as it is in a fresh model.
std::shared_ptr<Backbone> some_model(const ModelConfig& config) {
  auto backbone = make_backbone(config);
  backbone->to(torch::kDouble);
  fill_probe_parameters(*backbone);
  return backbone;
}

// Utterances side by side. What stands past their ends is no part of them.
struct Given {
  at::Tensor noisy{}, condition{};  // (B, N, mel)
  at::Tensor text{};                // (B, T)
  at::Tensor time{};                // (B)
  at::Tensor lengths{};             // (B)
};

Given some_utterances(const ModelConfig& config, const std::vector<std::int64_t>& lengths) {
  torch::manual_seed(seed());
  const auto count = static_cast<std::int64_t>(lengths.size());
  const std::int64_t longest = *std::ranges::max_element(lengths);
  Given given{.noisy = random_tensor({count, longest, config.mel}),
              .condition = random_tensor({count, longest, config.mel}),
              .text = torch::randint(0, config.vocabulary, {count, 8}),
              .time = torch::rand({count}, at::kDouble),
              .lengths = torch::tensor(lengths)};
  for (std::int64_t b = 0; b < count; ++b) given.text[b].slice(0, whole(1, 8)).fill_(-1);
  return given;
}

// Item b alone, without padding.
Given alone(const Given& given, std::int64_t b) {
  const auto frames = given.lengths[b].item<std::int64_t>();
  return {.noisy = given.noisy.slice(0, b, b + 1).slice(1, 0, frames),
          .condition = given.condition.slice(0, b, b + 1).slice(1, 0, frames),
          .text = given.text.slice(0, b, b + 1),
          .time = given.time.slice(0, b, b + 1),
          .lengths = given.lengths.slice(0, b, b + 1)};
}

// (B, N, mel)
at::Tensor velocity(Backbone& model, const Given& given, bool masked, bool drop_text = false) {
  const torch::NoGradGuard no_grad;
  const std::int64_t frames = given.noisy.size(1);
  BackboneInput input{.noisy = given.noisy, .condition = given.condition, .time = given.time};
  if (masked) input.mask = at::arange(frames).unsqueeze(0) < given.lengths.unsqueeze(1);
  input.text = model.embed_text(given.text, frames, drop_text, input.mask);
  return model.forward(input).velocity;
}

RC_GTEST_PROP(AnyModel, TreatsUtterancesOfOneLengthAsIfEachWereAlone, ()) {
  const ModelConfig config = some_config();
  const auto model = some_model(config);
  const auto count = static_cast<std::size_t>(whole(2, 3));
  const std::vector<std::int64_t> lengths(count, whole(1, 20));
  const Given given = some_utterances(config, lengths);
  const bool masked = flag();
  const bool drop_text = flag();
  const at::Tensor together = velocity(*model, given, masked, drop_text);
  RC_ASSERT(largest(together) > 1e-3);
  for (std::int64_t b = 0; b < given.noisy.size(0); ++b) {
    const at::Tensor own = velocity(*model, alone(given, b), masked, drop_text);
    RC_ASSERT(largest(together[b] - own[0]) < kTolerance);
  }
}

// The norm over time of the text encoder is the one that sees padding whatever is masked.
RC_GTEST_PROP(AnyModel, OfEveryMaskSeesNoPaddingButInTheNormOverTime, ()) {
  ModelConfig config = some_config(Architecture::kDit);
  config.masks = Masks::kUpstream;
  config.attention_mask = true;
  config.text_mask_padding = true;
  const auto model = some_model(config);
  {
    const torch::NoGradGuard no_grad;
    for (auto& entry : model->named_parameters()) {
      if (entry.key().find(".grn.") != std::string::npos) entry.value().zero_();
    }
  }
  const Given given = some_utterances(config, {whole(1, 20), whole(1, 20)});
  const bool drop_text = flag();
  const at::Tensor together = velocity(*model, given, /*masked=*/true, drop_text);
  for (std::int64_t b = 0; b < 2; ++b) {
    const at::Tensor own = velocity(*model, alone(given, b), /*masked=*/true, drop_text);
    RC_ASSERT(largest(together[b].slice(0, 0, own.size(1)) - own[0]) < kTolerance);
  }
}

RC_GTEST_PROP(AnyModel, OfTheFirstNetworkSaysNothingBeforeItIsTrained, ()) {
  const ModelConfig config = some_config(Architecture::kDit);
  const auto model = make_backbone(config);
  model->to(torch::kDouble);
  const Given given = some_utterances(config, {whole(1, 20), whole(1, 20)});
  RC_ASSERT(largest(velocity(*model, given, flag())) == 0);
}

// ---- positions

RC_GTEST_PROP(AnyPosition, OfTextIsAPointOnACircleForEachPairOfChannels, ()) {
  const std::int64_t width = 2 * whole(1, 32);
  const std::int64_t rows = whole(1, 60);
  const std::int64_t frames = whole(1, 80);
  const at::Tensor table = TextEmbedding::positions(width, frames, rows);
  const auto halves = table.chunk(2, 1);
  RC_ASSERT(largest(halves[0].square() + halves[1].square() - 1) < 1e-6);
  RC_ASSERT(largest(halves[0][0] - 1) == 0 && largest(halves[1][0]) == 0);
  for (std::int64_t i = rows; i < frames; ++i) RC_ASSERT(torch::equal(table[i], table[rows - 1]));
}

RC_GTEST_PROP(AnyRotation, KeepsLengthsAndTellsAttentionDistancesAlone, ()) {
  torch::manual_seed(seed());
  const std::int64_t width = 2 * whole(1, 16);
  const std::int64_t heads = whole(1, 3);
  const std::int64_t rotated = whole(0, heads);
  const std::int64_t frames = whole(2, 24);
  const RotaryTable table = rotary_table(frames, width, at::TensorOptions(at::kDouble));
  // The same query and key at every frame, so that their product is a function of the distance.
  const at::Tensor q = random_tensor({1, heads, 1, width}).repeat({1, 1, frames, 1});
  const at::Tensor k = random_tensor({1, heads, 1, width}).repeat({1, 1, frames, 1});
  const at::Tensor turned = rotate(q, table, rotated);
  RC_ASSERT(largest(turned.norm(2, {3}) - q.norm(2, {3})) < kTolerance);
  RC_ASSERT(torch::equal(turned.slice(1, rotated), q.slice(1, rotated)));
  const at::Tensor scores = turned.matmul(rotate(k, table, rotated).transpose(2, 3));
  for (std::int64_t apart = 1 - frames; apart < frames; ++apart) {
    const at::Tensor same = scores.diagonal(apart, 2, 3);  // (1, heads, frames - |apart|)
    RC_ASSERT(largest(same - same.slice(2, 0, 1)) < kTolerance);
  }
}

// As the reference says it: token after token.
RC_GTEST_PROP(AnyText, SpreadOverFramesHasEveryTokenForEquallyLong, ()) {
  const std::int64_t padded = whole(1, 40);
  const std::int64_t frames = whole(0, padded);
  const std::int64_t tokens = whole(0, frames);
  const at::Tensor x = at::arange(1, padded + 1, at::kDouble).view({1, padded, 1});
  const at::Tensor y = average_upsampled(x, torch::tensor({tokens}), torch::tensor({frames}));
  std::vector<double> expected;
  for (std::int64_t j = 0; j < tokens; ++j) {
    const std::int64_t more = j >= tokens - frames % tokens ? 1 : 0;
    for (std::int64_t i = 0; i < frames / tokens + more; ++i)
      expected.push_back(static_cast<double>(j + 1));
  }
  expected.resize(static_cast<std::size_t>(padded), 0);
  RC_ASSERT(torch::equal(y.flatten(), torch::tensor(expected, at::kDouble)));
}

// ---- the objective

RC_GTEST_PROP(AnySpan, LiesInsideOfItsUtterance, ()) {
  const std::int64_t frames = whole(1, 5000);
  const DrawOptions options{.span_least = real(0, 1)};
  const Chance chance = chance_of(seed(), whole(0, 1000), "utterance", frames, options);
  const Span drawn = chance.span;
  RC_ASSERT(drawn.start >= 0 && drawn.length >= 0 && drawn.start + drawn.length <= frames);
  const double least = std::floor(options.span_least * static_cast<double>(frames) - 1e-3);
  RC_ASSERT(static_cast<double>(drawn.length) >= least);
  RC_ASSERT(chance.time >= 0 && chance.time < 1);
  const Span edge = span_of(frames, real(0, 1), 1 - 0x1.0p-53);  // a float of it is 1
  RC_ASSERT(edge.start >= 0 && edge.start + edge.length <= frames);
}

// nll = T ln C - ln binom(T + U - r, 2U), r neighbours alike; impossible ones count 0.
RC_GTEST_PROP(AnyText, SpeltByEvenOddsHasTheClosedFormOfCtc, ()) {
  const std::int64_t frames = whole(1, 60);
  const std::int64_t letters = whole(1, 30);
  const std::int64_t vocabulary = whole(1, 6);
  std::vector<std::int64_t> text(static_cast<std::size_t>(letters));
  for (std::int64_t& letter : text) letter = whole(0, vocabulary - 1);
  std::int64_t alike = 0;
  for (std::size_t i = 0; i + 1 < text.size(); ++i) alike += text[i] == text[i + 1] ? 1 : 0;
  const at::Tensor loss =
      text_loss_sum(torch::zeros({1, frames, vocabulary + 2}, at::kDouble), torch::tensor({frames}),
                    torch::tensor(text).unsqueeze(0), torch::tensor({letters}));
  const auto factorial = [](std::int64_t n) { return std::lgamma(static_cast<double>(n + 1)); };
  const std::int64_t places = frames + letters - alike;
  const double paths = places < 2 * letters ? 0
                                            : factorial(places) - factorial(2 * letters) -
                                                  factorial(places - 2 * letters);
  const double expected =
      frames < letters + alike
          ? 0
          : (static_cast<double>(frames) * std::log(static_cast<double>(vocabulary + 2)) - paths) /
                static_cast<double>(letters);
  RC_ASSERT(std::abs(loss.item<double>() - expected) < 1e-6);
}

RC_GTEST_PROP(AnySpeechLoss, LiesWithinItsBoundsAndSeesNeitherScaleNorPadding, ()) {
  torch::manual_seed(seed());
  const std::int64_t count = whole(1, 3);
  const std::int64_t frames = whole(1, 12);
  const std::int64_t width = whole(1, 8);
  const at::Tensor prediction = random_tensor({count, frames, width});
  const at::Tensor target = random_tensor({count, frames, width});
  at::Tensor lengths = torch::empty({count}, at::kLong);
  for (std::int64_t b = 0; b < count; ++b) lengths[b].fill_(whole(1, frames));
  const auto loss = [&](const at::Tensor& y, const at::Tensor& z) {
    return speech_loss_sum(y, z, lengths, SpeechLoss::kNegCosine).item<double>();
  };
  const auto most = static_cast<double>(count);
  const double value = loss(prediction, target);
  RC_ASSERT(std::abs(value) <= most + kTolerance);
  RC_ASSERT(std::abs(loss(real(0.1, 9) * prediction, real(0.1, 9) * target) - value) < kTolerance);
  RC_ASSERT(std::abs(loss(target, target) + most) < kTolerance);
  at::Tensor padded = target.clone();
  for (std::int64_t b = 0; b < count; ++b)
    padded[b].slice(0, lengths[b].item<std::int64_t>()).fill_(real(-5, 5));
  RC_ASSERT(loss(prediction, padded) == value);
}

RC_GTEST_PROP(AnyTextHead, HasAStepForEveryTwoFrames, ()) {
  const std::int64_t frames = whole(1, 200);
  TextAligner head(2, 2, 1);
  const at::Tensor logits = head.forward(torch::zeros({1, frames, 2}));
  RC_ASSERT(logits.size(1) == text_aligner_frames(frames));
  RC_ASSERT(logits.size(2) == 3);
}

// The terms of ranks, or of micro-batches, add up to those of the whole.
RC_GTEST_PROP(AnyBatch, HasTheLossOfItsSharesTogether, ()) {
  ModelConfig config = some_config();
  config.mel = 8;
  AlignConfig align = tiny_align();
  align.text[0].layer = align.speech[0].layer = whole(1, config.depth);
  AcousticModel model(config, align, 1);
  model.to(torch::kDouble);
  fill_probe_parameters(model);
  const auto made = synthetic_utterances(static_cast<std::size_t>(whole(2, 4)), seed());
  const auto all = pointers(made);
  const PaddedSizes sizes = padded_sizes(all);
  const std::uint64_t chance = seed();
  const auto batch_of = [&](const std::vector<const Utterance*>& utterances) {
    Batch batch = collate(utterances, sizes);
    batch.mel = batch.mel.to(at::kDouble);
    batch.features = batch.features.to(at::kDouble);
    return batch;
  };
  const Batch whole_batch = batch_of(all);
  const Counts counts = count(whole_batch, draw(chance, 0, whole_batch, {}));
  const auto loss = [&](const std::vector<const Utterance*>& utterances) {
    const torch::NoGradGuard no_grad;
    const Batch batch = batch_of(utterances);
    const Losses losses = compute_losses(model, batch, draw(chance, 0, batch, {}), counts);
    return losses.total.item<double>();
  };
  const auto cut = all.begin() + whole(1, std::ssize(all) - 1);
  const double parts = loss({all.begin(), cut}) + loss({cut, all.end()});
  RC_ASSERT(std::abs(loss(all) - parts) < kTolerance * (1 + std::abs(parts)));
}

}  // namespace
}  // namespace strata::trainer

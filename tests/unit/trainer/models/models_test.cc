// Properties that the model must have whatever its weights: sizes, what starts at zero, what
// depends on what.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/trainer/synthetic.h"
#include "trainer/losses/objective.h"
#include "trainer/models/layers.h"

namespace strata::trainer {
namespace {

std::int64_t parameters_of(ModelConfig config, std::int64_t vocabulary,
                           const AlignConfig& align = {}) {
  config.vocabulary = vocabulary;
  return AcousticModel(config, align, 0).parameter_count();
}

Draws some_draws(const Batch& batch) {
  return draw(5, 0, batch, {.drop_audio = 0, .drop_both = 0});
}

// Moves every parameter off its initial value, so that nothing is zero by construction.
void stir(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(3);
  for (at::Tensor& parameter : module.parameters())
    parameter.add_(torch::randn_like(parameter) * 0.1);
}

ModelConfig e2_small() {
  ModelConfig e2;
  e2.architecture = Architecture::kUnett;
  e2.depth = 20;
  e2.ff_mult = 4;
  e2.text_dim = 100;
  e2.conv_layers = 0;
  return e2;
}

ModelConfig base_of(ModelConfig config) {
  config.dim = 1024;
  config.heads = 16;
  config.depth = config.architecture == Architecture::kDit ? 22 : 24;
  return config;
}

TEST(Models, ParameterCountsAreThoseOfTheReferences) {
  const ModelConfig small;  // F5-TTS small is the default
  EXPECT_EQ(parameters_of(small, 78), 157'965'668);
  EXPECT_EQ(parameters_of(small, 256), 158'056'804);
  EXPECT_EQ(parameters_of(small, 2545), 159'228'772);
  AlignConfig align;
  align.text = {{.layer = 8}};
  align.speech = {{.layer = 12}};
  EXPECT_EQ(parameters_of(small, 78, align), 194'855'348);
  EXPECT_EQ(parameters_of(e2_small(), 78), 156'915'008);
  EXPECT_EQ(parameters_of(e2_small(), 256), 156'932'808);
  EXPECT_EQ(parameters_of(e2_small(), 2545), 157'161'708);
}

TEST(Models, ParameterCountsOfTheBaseModelsAreThoseOfTheReferences) {
  EXPECT_EQ(parameters_of(base_of({}), 256), 335'924'836);
  EXPECT_EQ(parameters_of(base_of({}), 2545), 337'096'804);
  EXPECT_EQ(parameters_of(base_of(e2_small()), 256), 333'241'544);
  EXPECT_EQ(parameters_of(base_of(e2_small()), 2545), 333'470'444);
}

TEST(Models, EveryPartOfF5SmallHasTheReferencesParameters) {
  ModelConfig config;
  config.vocabulary = 78;
  AlignConfig align;
  align.text = {{.layer = 8}};
  align.speech = {{.layer = 12}};
  const AcousticModel model(config, align, 0);
  const auto below = [&](const std::string& prefix) {
    std::pair<std::int64_t, int> sum{};  // values, tensors
    for (const auto& entry : model.named_parameters()) {
      if (!entry.key().starts_with(prefix)) continue;
      sum.first += entry.value().numel();
      ++sum.second;
    }
    return sum;
  };
  EXPECT_EQ(below("backbone.").second, 307);
  EXPECT_EQ(below("").second, 327);
  EXPECT_EQ(below("backbone.time_embed.").first, 787'968);
  EXPECT_EQ(below("backbone.text_embed.").first, 4'269'568);
  EXPECT_EQ(below("backbone.input_embed.").first, 2'834'688);
  EXPECT_EQ(below("backbone.norm_out.").first, 1'181'184);
  EXPECT_EQ(below("backbone.proj_out.").first, 76'900);
  EXPECT_EQ(below("backbone.transformer_blocks.17.").first, 8'267'520);
  EXPECT_EQ(below("backbone.transformer_blocks.17.attn_norm.").first, 3'543'552);
  EXPECT_EQ(below("backbone.transformer_blocks.17.attn.").first, 2'362'368);
  EXPECT_EQ(below("backbone.transformer_blocks.17.ff.").first, 2'361'600);
  EXPECT_EQ(below("text_aligner.").first, 17'477'712);
  EXPECT_EQ(below("speech_aligner.").first, 19'411'968);
}

TEST(Models, DitPredictsZeroAtInitialisationAndEveryBlockIsTheIdentity) {
  AcousticModel model(tiny_config(), {}, 1);
  const auto utterances = synthetic_utterances(3, 1);
  const Batch batch = collate(pointers(utterances));
  const Draws draws = some_draws(batch);
  at::Tensor input;
  const auto check = [&](std::string_view name, const at::Tensor& value) {
    if (name == "input") input = value;
    if (name.starts_with("block")) {
      EXPECT_TRUE(torch::equal(value, input)) << name;
    }
    if (name == "pred") {
      EXPECT_EQ(value.abs().max().item<float>(), 0.0F);
    }
  };
  const Losses losses = compute_losses(model, batch, draws, count(batch, draws), 1, check);
  const at::Tensor inside = (batch.mel - draws.noise).index({draws.span});
  EXPECT_NEAR(losses.flow.item<double>(), inside.square().mean().item<double>(), 1e-5);
}

TEST(Models, UnettPredictsSomethingAtInitialisation) {
  ModelConfig config = tiny_config();
  config.architecture = Architecture::kUnett;
  config.depth = 4;
  config.conv_layers = 0;
  AcousticModel model(config, {}, 1);
  const auto utterances = synthetic_utterances(2, 1);
  const Batch batch = collate(pointers(utterances));
  const Draws draws = some_draws(batch);
  (void)compute_losses(model, batch, draws, count(batch, draws), 1,
                       [](std::string_view name, const at::Tensor& value) {
                         if (name == "pred") {
                           EXPECT_GT(value.abs().max().item<float>(), 0.01F);
                         }
                       });
}

std::vector<std::string> parameters_with_gradient(const AlignConfig& align) {
  AcousticModel model(tiny_config(), align, 1);
  const auto utterances = synthetic_utterances(3, 1);
  const Batch batch = collate(pointers(utterances));
  const Draws draws = some_draws(batch);
  compute_losses(model, batch, draws, count(batch, draws)).total.backward();
  std::vector<std::string> names;
  for (const auto& entry : model.named_parameters()) {
    const at::Tensor& gradient = entry.value().grad();
    if (gradient.defined() && gradient.abs().max().item<float>() > 0) names.push_back(entry.key());
  }
  return names;
}

TEST(Models, WithoutHeadsTheFirstGradientReachesOnlyTheOutput) {
  EXPECT_EQ(parameters_with_gradient({}),
            (std::vector<std::string>{"backbone.proj_out.weight", "backbone.proj_out.bias"}));
}

TEST(Models, WithHeadsTheFirstGradientReachesTextAndInputAndGatesUpToTheLastTap) {
  for (const std::string& name : parameters_with_gradient(tiny_align())) {
    const bool early_gate = name.find("transformer_blocks.0.attn_norm") != std::string::npos ||
                            name.find("transformer_blocks.1.attn_norm") != std::string::npos;
    const bool expected = early_gate || name.find("text_embed") != std::string::npos ||
                          name.find("proj_out") != std::string::npos ||
                          name.find("input_embed") != std::string::npos ||
                          name.find("aligner") != std::string::npos;
    EXPECT_TRUE(expected) << name;
  }
  AcousticModel model(tiny_config(), tiny_align(), 1);
  const auto utterances = synthetic_utterances(3, 1);
  const Batch batch = collate(pointers(utterances));
  const Draws draws = some_draws(batch);
  compute_losses(model, batch, draws, count(batch, draws)).total.backward();
  const at::Tensor
      rows =  // of the modulation: shift, scale, gate of attention, then of feed-forward
      model.named_parameters()["backbone.transformer_blocks.0.attn_norm.linear.weight"]
          .grad()
          .abs()
          .sum(1)
          .view({6, 32})
          .sum(1);
  for (const int chunk : {0, 1, 3, 4}) EXPECT_EQ(rows[chunk].item<float>(), 0.0F) << chunk;
  for (const int chunk : {2, 5}) EXPECT_GT(rows[chunk].item<float>(), 0.0F) << chunk;
}

TEST(Objective, CtcOfUniformLogitsIsTheClosedForm) {
  // nll = T ln C - ln binom(T + U - r, 2U)
  const std::int64_t frames = 264;
  const std::int64_t letters = 80;
  const std::int64_t classes = 80;
  // No two neighbours alike.
  const at::Tensor text = (torch::arange(letters, torch::kLong) % 7).unsqueeze(0);
  const at::Tensor loss = text_loss_sum(torch::zeros({1, frames, classes}, torch::kDouble),
                                        torch::tensor({frames}), text, torch::tensor({letters}));
  EXPECT_NEAR(loss.item<double>() * static_cast<double>(letters), 922.3947, 1e-3);
}

TEST(Objective, AnImpossibleTranscriptCountsZero) {
  const at::Tensor text = torch::tensor({{1L, 1L, 1L}});  // three equal letters need five frames
  const at::Tensor loss =
      text_loss_sum(torch::zeros({1, 4, 12}), torch::tensor({4L}), text, torch::tensor({3L}));
  EXPECT_EQ(loss.item<float>(), 0.0F);
}

TEST(Objective, SpeechLossLiesWithinOneAndIgnoresScaleAndPadding) {
  torch::manual_seed(1);
  const at::Tensor target = torch::randn({2, 5, 6});
  const at::Tensor lengths = torch::tensor({5L, 3L});
  const auto loss = [&](const at::Tensor& prediction, const at::Tensor& z) {
    return speech_loss_sum(prediction, z, lengths, SpeechLoss::kNegCosine).item<double>() / 2;
  };
  EXPECT_NEAR(loss(3 * target, target), -1, 1e-6);
  EXPECT_NEAR(loss(-target, target), 1, 1e-6);
  const at::Tensor prediction = torch::randn({2, 5, 6});
  EXPECT_NEAR(loss(prediction, target), loss(prediction, 7 * target), 1e-6);
  at::Tensor padded = target.clone();
  padded[1].slice(0, 3).fill_(9);
  EXPECT_EQ(loss(prediction, target), loss(prediction, padded));
}

TEST(Objective, TheGradientOfTheTotalIsTheWeightedSumOfItsParts) {
  const auto utterances = synthetic_utterances(3, 1);
  const Batch batch = collate(pointers(utterances));
  const Draws draws = some_draws(batch);
  AcousticModel model(tiny_config(), tiny_align(), 1);
  stir(model);
  const auto gradient = [&](auto pick) {
    model.zero_grad();
    pick(compute_losses(model, batch, draws, count(batch, draws))).backward();
    std::vector<at::Tensor> flat;
    for (const at::Tensor& p : model.parameters())
      flat.push_back((p.grad().defined() ? p.grad() : torch::zeros_like(p)).flatten());
    return torch::cat(flat).clone();
  };
  const at::Tensor total = gradient([](const Losses& l) { return l.total; });
  const at::Tensor sum = gradient([](const Losses& l) { return l.flow; }) +
                         gradient([](const Losses& l) { return l.speech.at(0); }) +
                         0.1 * gradient([](const Losses& l) { return l.text.at(0); });
  EXPECT_LT((total - sum).norm().item<double>(), 1e-5 * total.norm().item<double>());
}

// F5-TTS's DiT has 8,192 rows of positions since then, its UNetT 4,096 as before. Frames without
// text that share a row, and whose neighbours do, have the same features.
TEST(Layers, OnlyTheLaterDitKnowsPositionsBehind4096) {
  const auto rows_differ = [](Architecture architecture, Masks masks) {
    ModelConfig config = tiny_config();
    config.architecture = architecture;
    config.masks = masks;
    config.conv_layers = 1;
    TextEmbedding text(config);
    const torch::NoGradGuard no_grad;
    const at::Tensor x = text.forward(torch::full({1, 1}, -1, at::kLong), 4120, false, {}, false);
    return (x[0][4105] - x[0][4106]).abs().max().item<double>() > 1e-4;
  };
  EXPECT_FALSE(rows_differ(Architecture::kDit, Masks::kOriginal));
  EXPECT_TRUE(rows_differ(Architecture::kDit, Masks::kUpstream));
  EXPECT_FALSE(rows_differ(Architecture::kUnett, Masks::kUpstream));
}

TEST(Objective, ABatchOfEqualUtterancesHasTheLossOfOne) {
  const auto utterances = synthetic_utterances(1, 1);
  AcousticModel model(tiny_config(), tiny_align(), 1);
  stir(model);
  const auto losses = [&](std::size_t copies) {
    const Batch batch = collate(std::vector<const Utterance*>(copies, utterances.data()));
    const Draws draws = some_draws(batch);
    return compute_losses(model, batch, draws, count(batch, draws)).total.item<double>();
  };
  EXPECT_NEAR(losses(1), losses(3), 1e-5);
}

TEST(Objective, PaddingIsSeenByTheModelAsInTheReference) {
  const auto utterances = synthetic_utterances(1, 1);
  AcousticModel model(tiny_config(), {}, 1);
  stir(model);
  const auto prediction = [&](std::int64_t frames) {
    const Batch batch = collate(pointers(utterances), {.frames = frames});
    BackboneInput input;
    input.noisy = batch.mel;
    input.condition = batch.mel;
    input.text = model.backbone().embed_text(batch.text, batch.frames(), false);
    input.time = torch::full({1}, 0.5);
    return model.backbone().forward(input).velocity.slice(1, 0, utterances[0].frames());
  };
  EXPECT_GT((prediction(0) - prediction(50)).abs().max().item<double>(), 1e-4);
}

TEST(Models, UpsampledTokensShareTheFramesAndTheLastOnesTakeWhatIsOver) {
  const at::Tensor x = torch::arange(1, 11, torch::kFloat).view({1, 10, 1}).repeat({5, 1, 1});
  const at::Tensor y = average_upsampled(x, torch::tensor({3L, 4L, 10L, 1L, 0L}),
                                         torch::tensor({8L, 6L, 10L, 9L, 7L}));
  const at::Tensor expected = torch::tensor({{1.F, 1.F, 2.F, 2.F, 2.F, 3.F, 3.F, 3.F, 0.F, 0.F},
                                             {1.F, 2.F, 3.F, 3.F, 4.F, 4.F, 0.F, 0.F, 0.F, 0.F},
                                             {1.F, 2.F, 3.F, 4.F, 5.F, 6.F, 7.F, 8.F, 9.F, 10.F},
                                             {1.F, 1.F, 1.F, 1.F, 1.F, 1.F, 1.F, 1.F, 1.F, 0.F},
                                             {0.F, 0.F, 0.F, 0.F, 0.F, 0.F, 0.F, 0.F, 0.F, 0.F}});
  EXPECT_TRUE(torch::equal(y.squeeze(2), expected)) << y.squeeze(2);
}

// With every mask of the later generation only the text encoder's norm over time still sees
// padding, since its convolutions fill padded frames before it.
TEST(Objective, MaskedPaddingIsSeenByTheNormOverTimeAlone) {
  const auto utterances = synthetic_utterances(2, 1);
  const Batch both = collate(pointers(utterances));
  const std::size_t shorter = utterances[0].frames() < utterances[1].frames() ? 0 : 1;
  const auto row = static_cast<std::int64_t>(shorter);
  const std::int64_t own = utterances[shorter].frames();
  ASSERT_LT(own, both.frames());
  const Batch alone = collate({&utterances[shorter]});
  ModelConfig config = tiny_config();
  config.masks = Masks::kUpstream;
  config.attention_mask = true;
  config.text_mask_padding = true;
  AcousticModel model(config, {}, 1);
  stir(model);
  const auto predict = [&](const Batch& batch) {
    BackboneInput input;
    input.noisy = batch.mel;
    input.condition = batch.mel;
    input.mask = at::arange(batch.frames()).unsqueeze(0) < batch.lengths.unsqueeze(1);
    input.text = model.backbone().embed_text(batch.text, batch.frames(), false, input.mask);
    input.time = torch::full({batch.size()}, 0.5);
    return model.backbone().forward(input).velocity;
  };
  const auto difference = [&] {
    return (predict(both)[row].slice(0, 0, own) - predict(alone)[0]).abs().max().item<double>();
  };
  EXPECT_GT(difference(), 1e-4);
  {
    const torch::NoGradGuard no_grad;
    for (auto& entry : model.named_parameters()) {
      if (entry.key().find(".grn.") != std::string::npos) entry.value().zero_();
    }
  }
  EXPECT_LT(difference(), 2e-5);
}

TEST(Collate, PadsMelsWithWhatItIsTold) {
  const auto utterances = synthetic_utterances(2, 1);
  const std::size_t shorter = utterances[0].frames() < utterances[1].frames() ? 0 : 1;
  const Batch batch = collate(pointers(utterances), {}, -11.5);
  const at::Tensor row = batch.mel[static_cast<std::int64_t>(shorter)];
  EXPECT_TRUE(torch::equal(row.slice(0, 0, utterances[shorter].frames()), utterances[shorter].mel));
  EXPECT_TRUE((row.slice(0, utterances[shorter].frames()) == -11.5).all().item<bool>());
}

TEST(Objective, DrawsOfAnUtteranceDoNotDependOnItsNeighbours) {
  const auto utterances = synthetic_utterances(4, 1);
  const PaddedSizes sizes = padded_sizes(pointers(utterances));
  const Batch all = collate(pointers(utterances), sizes);
  const Batch one = collate({&utterances[2]}, sizes);
  const DrawOptions options{.dropout = 0.1};
  const Draws of_all = draw(9, 17, all, options);
  const Draws of_one = draw(9, 17, one, options);
  EXPECT_TRUE(torch::equal(of_all.noise[2], of_one.noise[0]));
  EXPECT_TRUE(torch::equal(of_all.span[2], of_one.span[0]));
  EXPECT_TRUE(torch::equal(of_all.time[2], of_one.time[0]));
  EXPECT_EQ(of_all.drop_text, of_one.drop_text);
  const at::Tensor x = torch::ones({4, 5, 6});
  EXPECT_TRUE(torch::equal(of_all.dropout.at(3)(x)[2], of_one.dropout.at(3)(x.slice(0, 0, 1))[0]));
  EXPECT_FALSE(torch::equal(draw(9, 18, one, options).noise, of_one.noise));
}

// The loss and the gradient of every parameter.
std::vector<at::Tensor> gradients_of(AcousticModel& model, const Batch& batch, const Draws& draws) {
  model.zero_grad();
  const Losses losses = compute_losses(model, batch, draws, count(batch, draws));
  losses.total.backward();
  std::vector<at::Tensor> all{losses.total.detach().clone()};
  for (const at::Tensor& parameter : model.parameters()) all.push_back(parameter.grad().clone());
  return all;
}

// Bit for bit where nobody but the next block reads a block; a tapped one adds up the gradients
// from its readers in another order.
TEST(Objective, RecomputedBlocksGiveTheSameGradients) {
  const auto utterances = synthetic_utterances(3, 1);
  const Batch batch = collate(pointers(utterances));
  const Draws draws = draw(5, 0, batch, {.drop_audio = 0, .drop_both = 0, .dropout = 0.2});
  for (const bool tapped : {false, true}) {
    for (const Architecture architecture : {Architecture::kDit, Architecture::kUnett}) {
      ModelConfig config = tiny_config();
      config.architecture = architecture;
      config.depth = 4;
      config.skip = SkipConnection::kNone;
      AcousticModel model(config, tapped ? tiny_align() : AlignConfig{}, 1);
      stir(model);
      const auto kept = gradients_of(model, batch, draws);
      model.backbone().set_recompute(true);
      const auto again = gradients_of(model, batch, draws);
      ASSERT_EQ(kept.size(), again.size());
      for (std::size_t i = 0; i < kept.size(); ++i) {
        if (tapped) {
          EXPECT_LT((kept[i] - again[i]).norm().item<double>(),
                    1e-5 * (1e-3 + kept[i].norm().item<double>()))
              << i;
        } else {
          EXPECT_TRUE(torch::equal(kept[i], again[i])) << i;
        }
      }
    }
  }
}

TEST(RowDropout, DropsTheShareAskedForAndKeepsTheMean) {
  RowDropout all{.rate = 0.1, .seeds = {1, 2, 3}};
  const at::Tensor x = torch::ones({3, 400, 64});
  const at::Tensor y = all.at(0)(x);
  for (std::int64_t row = 0; row < 3; ++row) {
    const double share = (y[row] == 0).to(at::kDouble).mean().item<double>();
    EXPECT_NEAR(share, 0.1, 0.006) << row;  // three deviations of 25,600 draws
    EXPECT_NEAR(y[row].mean().item<double>(), 1, 0.007) << row;
  }
  const at::Tensor kept = y.masked_select(y != 0);
  EXPECT_TRUE((kept == kept[0]).all().item<bool>());
  EXPECT_FLOAT_EQ(kept[0].item<float>(), 1 / 0.9F);
  // Rows, places and channels are independent: both dropped in a hundredth of the cases.
  const auto together = [](const at::Tensor& a, const at::Tensor& b) {
    return at::logical_and(a == 0, b == 0).to(at::kDouble).mean().item<double>();
  };
  EXPECT_NEAR(together(y[0], y[1]), 0.01, 0.002);
  EXPECT_NEAR(together(y, all.at(1)(x)), 0.01, 0.0015);
  EXPECT_NEAR(together(y.slice(2, 0, 63), y.slice(2, 1, 64)), 0.01, 0.0015);
  EXPECT_NEAR(together(y.slice(1, 0, 399), y.slice(1, 1, 400)), 0.01, 0.0015);
}

TEST(RowDropout, GradientsAreDroppedInTheSamePlaces) {
  RowDropout all{.rate = 0.3, .seeds = {7}};
  const at::Tensor x = torch::randn({1, 50, 8}).requires_grad_();
  const at::Tensor y = all.at(4)(x);
  y.sum().backward();
  EXPECT_TRUE(torch::equal(x.grad() == 0, y == 0));
  EXPECT_TRUE(torch::equal(y, all.at(4)(x))) << "a function of its place alone";
  EXPECT_TRUE(torch::equal(all.at(4)(x.to(at::kDouble)) == 0, y == 0)) << "whatever the precision";
  EXPECT_TRUE(torch::equal(RowDropout{}.at(4)(x), x));
}

TEST(Objective, DropsHappenAsOftenAsTheReferenceDropsThem) {
  const auto utterances = synthetic_utterances(1, 1);
  const Batch batch = collate(pointers(utterances));
  int audio = 0;
  int text = 0;
  for (int update = 0; update < 2000; ++update) {
    const Draws draws = draw(1, update, batch, {});
    audio += draws.drop_audio;
    text += draws.drop_text;
    EXPECT_TRUE(draws.drop_audio || !draws.drop_text);
  }
  EXPECT_NEAR(audio / 2000.0, 0.44, 0.04);
  EXPECT_NEAR(text / 2000.0, 0.20, 0.04);
}

TEST(Objective, SpansAreThoseOfTheReference) {
  EXPECT_EQ(span_of(37, 0.75, 0.5).start, 5);
  EXPECT_EQ(span_of(37, 0.75, 0.5).length, 27);
  EXPECT_EQ(span_of(30, 0.9, 0.25).start, 0);
  EXPECT_EQ(span_of(30, 0.9, 0.25).length, 27);
}

TEST(Layers, RotationKeepsLengthsAndLogitsDependOnDistanceOnly) {
  torch::manual_seed(1);
  const RotaryTable table = rotary_table(12, 8, torch::TensorOptions(torch::kDouble));
  const at::Tensor q = torch::randn({8}, torch::kDouble).expand({1, 2, 12, 8});
  const at::Tensor k = torch::randn({8}, torch::kDouble).expand({1, 2, 12, 8});
  const at::Tensor rq = rotate(q, table, 1);
  const at::Tensor rk = rotate(k, table, 1);
  EXPECT_LT((rq.norm(2, 3) - q.norm(2, 3)).abs().max().item<double>(), 1e-12);
  const at::Tensor logits = torch::matmul(rq, rk.transpose(2, 3))[0];  // (2, 12, 12)
  EXPECT_NEAR(logits[0][3][1].item<double>(), logits[0][9][7].item<double>(), 1e-12);
  EXPECT_GT((logits[0][3][1] - logits[0][3][2]).abs().item<double>(), 1e-6);
  EXPECT_LT((logits[1] - logits[1][0][0]).abs().max().item<double>(),
            1e-12);  // the second head is not rotated
}

TEST(Layers, GlobalResponseNormIsTheIdentityAtInitialisation) {
  GlobalResponseNorm norm(6);
  const at::Tensor x = torch::randn({2, 5, 6});
  EXPECT_TRUE(torch::allclose(norm.forward(x), x));
}

TEST(Layers, SinusoidsAreThoseOfTheReference) {
  const at::Tensor time = TimeEmbedding::sinusoids(torch::tensor({0.3}, torch::kDouble))[0];
  const std::vector<std::pair<int, double>> expected{
      {0, -0.999756},    {1, 0.554912},    {2, 0.951201},  {127, 0.0299955},
      {128, -0.0220966}, {129, -0.831909}, {255, 0.999550}};
  for (const auto& [i, value] : expected) EXPECT_NEAR(time[i].item<double>(), value, 2e-5) << i;
  const at::Tensor row = TextEmbedding::positions(512, 2, TextEmbedding::kRows)[1];
  EXPECT_NEAR(row[0].item<double>(), 0.5403023, 1e-6);
  EXPECT_NEAR(row[1].item<double>(), 0.5696950, 1e-6);
  EXPECT_NEAR(row[257].item<double>(), 0.8218562, 1e-6);
  EXPECT_NEAR(row[511].item<double>(), 1.036633e-4, 1e-9);
}

TEST(Layers, TextAlignerHasHalfTheFramesRoundedUp) {
  TextAligner head(16, 16, 5);
  for (std::int64_t frames = 1; frames < 8; ++frames) {
    EXPECT_EQ(head.forward(torch::zeros({1, frames, 16})).size(1), text_aligner_frames(frames));
    EXPECT_EQ(head.forward(torch::zeros({1, frames, 16})).size(2), 7);
  }
}

TEST(Layers, InterpolationToTheSameLengthChangesNothingAndKeepsRamps) {
  const at::Tensor ramp = torch::arange(10, torch::kDouble).view({1, 1, 10});
  EXPECT_TRUE(torch::equal(at::upsample_linear1d(ramp, {10}, false), ramp));
  const at::Tensor steps = at::upsample_linear1d(ramp, {20}, false)[0][0].diff();
  EXPECT_LT((steps.slice(0, 1, 18) - 0.5).abs().max().item<double>(), 1e-12);
}

TEST(Models, WeightsThatDoNotFitAreRefusedByName) {
  AcousticModel model(tiny_config(), {}, 1);
  NamedTensors weights;
  for (const auto& entry : model.backbone().named_parameters())
    weights.emplace(entry.key(), entry.value().detach().clone());
  EXPECT_TRUE(load_weights(model.backbone(), weights).has_value());
  NamedTensors more = weights;
  more.emplace("stranger", torch::zeros({1}));
  EXPECT_NE(load_weights(model.backbone(), more).error().message.find("stranger"),
            std::string::npos);
  weights.erase("proj_out.bias");
  EXPECT_NE(load_weights(model.backbone(), weights).error().message.find("proj_out.bias"),
            std::string::npos);
}

}  // namespace
}  // namespace strata::trainer

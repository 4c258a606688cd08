// The layouts of published files, by names and shapes: F5TTS_v1_Base has 364 tensors below
// ema_model.transformer (SWivid/F5-TTS, issue 1292), of which 363 are parameters.
#include "trainer/weights_layout.h"

#include <gtest/gtest.h>

namespace strata::trainer {
namespace {

using Extents = std::vector<std::int64_t>;

void add_linear(Shapes& shapes, const std::string& name, std::int64_t from, std::int64_t to) {
  shapes.emplace(name + ".weight", Extents{to, from});
  shapes.emplace(name + ".bias", Extents{to});
}

void add_ends(Shapes& shapes, std::int64_t dim, std::int64_t vocabulary, std::int64_t text_dim) {
  add_linear(shapes, "time_embed.time_mlp.0", 256, dim);
  add_linear(shapes, "time_embed.time_mlp.2", dim, dim);
  shapes.emplace("text_embed.text_embed.weight", Extents{vocabulary + 1, text_dim});
  add_linear(shapes, "input_embed.proj", 200 + text_dim, dim);
  for (const char* i : {"0", "2"}) {
    const std::string name = fmt::format("input_embed.conv_pos_embed.conv1d.{}", i);
    shapes.emplace(name + ".weight", Extents{dim, dim / 16, 31});
    shapes.emplace(name + ".bias", Extents{dim});
  }
  add_linear(shapes, "proj_out", dim, 100);
}

void add_attention(Shapes& shapes, const std::string& name, std::int64_t dim) {
  for (const char* part : {"to_q", "to_k", "to_v", "to_out.0"})
    add_linear(shapes, fmt::format("{}.{}", name, part), dim, dim);
}

Shapes f5_base() {
  Shapes shapes;
  add_ends(shapes, 1024, 2545, 512);
  for (int i = 0; i < 4; ++i) {
    const std::string block = fmt::format("text_embed.text_blocks.{}.", i);
    shapes.emplace(block + "dwconv.weight", Extents{512, 1, 7});
    shapes.emplace(block + "dwconv.bias", Extents{512});
    shapes.emplace(block + "norm.weight", Extents{512});
    shapes.emplace(block + "norm.bias", Extents{512});
    shapes.emplace(block + "grn.gamma", Extents{1, 1, 1024});
    shapes.emplace(block + "grn.beta", Extents{1, 1, 1024});
    add_linear(shapes, block + "pwconv1", 512, 1024);
    add_linear(shapes, block + "pwconv2", 1024, 512);
  }
  for (int i = 0; i < 22; ++i) {
    const std::string block = fmt::format("transformer_blocks.{}.", i);
    add_linear(shapes, block + "attn_norm.linear", 1024, 6 * 1024);
    add_attention(shapes, block + "attn", 1024);
    add_linear(shapes, block + "ff.ff.0.0", 1024, 2048);
    add_linear(shapes, block + "ff.ff.2", 2048, 1024);
  }
  add_linear(shapes, "norm_out.linear", 1024, 2048);
  return shapes;
}

Shapes e2_base(bool joins) {
  Shapes shapes;
  add_ends(shapes, 1024, 2545, 100);
  for (int i = 0; i < 24; ++i) {
    const std::string layer = fmt::format("layers.{}.", i);
    if (joins && i >= 12) shapes.emplace(layer + "0.weight", Extents{1024, 2048});
    shapes.emplace(layer + "1.g", Extents{1024});
    add_attention(shapes, layer + "2", 1024);
    shapes.emplace(layer + "3.g", Extents{1024});
    add_linear(shapes, layer + "4.ff.0.0", 1024, 4096);
    add_linear(shapes, layer + "4.ff.2", 4096, 1024);
  }
  shapes.emplace("norm_out.g", Extents{1024});
  return shapes;
}

std::int64_t elements(const Shapes& shapes) {
  std::int64_t sum = 0;
  for (const auto& [name, shape] : shapes) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    sum += count;
  }
  return sum;
}

Shapes published(const Shapes& parameters) {
  Shapes file;
  for (const auto& [name, shape] : parameters) file.emplace(kAveragePrefix + name, shape);
  file.emplace(std::string(kAveragePrefix) + kRotaryBuffer, Extents{32});
  file.emplace(kAverageStarted, Extents{});
  file.emplace(kAverageStep, Extents{});
  return file;
}

Result<ModelConfig> config_of(const Shapes& parameters, const Value& choices) {
  Object assumed;
  return config_of_shapes(parameters, 32, choices, "import", assumed);
}

TEST(WeightsLayout, ThePublishedBaseModelsHaveThePublishedSizes) {
  EXPECT_EQ(f5_base().size(), 363U);
  EXPECT_EQ(elements(f5_base()), 337'096'804);
  EXPECT_EQ(elements(e2_base(true)), 333'470'444);
}

TEST(WeightsLayout, EveryKeyOfAPublishedFileIsAccountedFor) {
  const Shapes file = published(f5_base());
  EXPECT_EQ(file.size(), 366U);
  const CheckpointKeys keys = sort_keys(file);
  EXPECT_EQ(keys.prefix, kAveragePrefix);
  EXPECT_EQ(keys.parameters.size(), 363U);
  EXPECT_EQ(keys.rotary, std::string(kAveragePrefix) + kRotaryBuffer);
  EXPECT_TRUE(keys.started);
  EXPECT_TRUE(keys.step);
  EXPECT_TRUE(keys.dropped.empty());
  EXPECT_TRUE(keys.unknown.empty());
  EXPECT_TRUE(check_complete(keys, file, f5_base()));
}

TEST(WeightsLayout, ShapesSayWhatTheConfigurationFilesSay) {
  const auto f5 = config_of(f5_base(), Object{{"generation", "v1"}});
  ASSERT_TRUE(f5.has_value()) << f5.error().message;
  EXPECT_EQ(f5->architecture, Architecture::kDit);
  EXPECT_EQ(f5->dim, 1024);
  EXPECT_EQ(f5->depth, 22);
  EXPECT_EQ(f5->heads, 16);
  EXPECT_EQ(f5->dim_head, 64);
  EXPECT_EQ(f5->ff_mult, 2);
  EXPECT_EQ(f5->mel, 100);
  EXPECT_EQ(f5->vocabulary, 2545);
  EXPECT_EQ(f5->text_dim, 512);
  EXPECT_EQ(f5->conv_layers, 4);
  EXPECT_FALSE(f5->long_skip);
  EXPECT_TRUE(f5->text_mask_padding);
  EXPECT_EQ(f5->pe_attn_heads, std::nullopt);
  EXPECT_EQ(f5->masks, Masks::kUpstream);
  const auto e2 = config_of(e2_base(true), Object{{"generation", "v0"}});
  ASSERT_TRUE(e2.has_value()) << e2.error().message;
  EXPECT_EQ(e2->architecture, Architecture::kUnett);
  EXPECT_EQ(e2->depth, 24);
  EXPECT_EQ(e2->ff_mult, 4);
  EXPECT_EQ(e2->text_dim, 100);
  EXPECT_EQ(e2->conv_layers, 0);
  EXPECT_EQ(e2->skip, SkipConnection::kConcat);
  EXPECT_FALSE(e2->text_mask_padding);
  EXPECT_EQ(e2->pe_attn_heads, 1);
  EXPECT_EQ(e2->masks, Masks::kOriginal);
}

TEST(WeightsLayout, NormsOfQueriesAndKeysAreSeenAndUpsamplingIsAskedFor) {
  EXPECT_FALSE(config_of(f5_base(), Object{{"generation", "v1"}})->qk_norm);
  Shapes shapes = f5_base();
  for (const char* norm : {"q_norm", "k_norm"})
    shapes.emplace(fmt::format("transformer_blocks.0.attn.{}.weight", norm), Extents{64});
  const auto normed = config_of(shapes, Object{{"generation", "v1"}});
  ASSERT_TRUE(normed.has_value()) << normed.error().message;
  EXPECT_TRUE(normed->qk_norm);
  EXPECT_FALSE(normed->average_upsampling);
  const Object asked{{"generation", "v1"}, {"average_upsampling", true}};
  EXPECT_TRUE(config_of(f5_base(), asked)->average_upsampling);
  Shapes e2 = e2_base(true);
  e2.emplace("layers.0.2.q_norm.weight", Extents{64});
  EXPECT_TRUE(config_of(e2, Object{{"generation", "v0"}})->qk_norm);
  EXPECT_FALSE(config_of(e2, Object{{"generation", "v0"}, {"average_upsampling", true}}));
}

TEST(WeightsLayout, WhatShapesCannotSayIsAskedFor) {
  EXPECT_FALSE(config_of(f5_base(), Object{}).has_value());
  EXPECT_FALSE(config_of(e2_base(false), Object{{"generation", "v0"}}).has_value());
  const auto none = config_of(e2_base(false), Object{{"generation", "v0"}, {"skip", "none"}});
  ASSERT_TRUE(none.has_value()) << none.error().message;
  EXPECT_EQ(none->skip, SkipConnection::kNone);
}

TEST(WeightsLayout, EveryWrongKeyIsNamed) {
  Shapes file = published(f5_base());
  const std::string prefix = kAveragePrefix;
  file.emplace("optimizer.state", Extents{4});
  file.emplace(prefix + "more.weight", Extents{4});
  file.erase(prefix + "proj_out.bias");
  file[prefix + "norm_out.linear.bias"] = {7};
  const Status checked = check_complete(sort_keys(file), file, f5_base());
  ASSERT_FALSE(checked.has_value());
  for (const char* name : {"optimizer.state", "more.weight", "proj_out.bias",
                           "norm_out.linear.bias is [7] and should be [2048]"}) {
    EXPECT_NE(checked.error().message.find(name), std::string::npos) << checked.error().message;
  }
}

}  // namespace
}  // namespace strata::trainer

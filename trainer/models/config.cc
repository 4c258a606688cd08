#include "trainer/models/config.h"

#include "base/assert.h"
#include "base/fields.h"
#include "trainer/models/fixed_sizes.h"

namespace strata::trainer {
namespace {

std::int64_t size_field(Fields& fields, std::string_view key, std::optional<std::int64_t> fallback,
                        std::int64_t least = 1, std::int64_t most = kWidthMax) {
  const std::int64_t size = fields.integer(key, fallback);
  fields.require(size >= least && size <= most, key, fmt::format("expected {} to {}", least, most));
  return size;
}

const char* name_of(SkipConnection skip) {
  switch (skip) {
    case SkipConnection::kConcat: return "concat";
    case SkipConnection::kAdd: return "add";
    case SkipConnection::kNone: return "none";
  }
  STRATA_ASSERT(false);
  return "";
}

}  // namespace

Result<ModelConfig> read_model_config(const Value& value, const std::string& where,
                                      std::optional<std::int64_t> vocabulary,
                                      std::optional<std::int64_t> mel) {
  Fields fields(value, where);
  ModelConfig config;
  const bool dit = fields.choice("model", {"dit", "unett"}, "dit") == "dit";
  config.architecture = dit ? Architecture::kDit : Architecture::kUnett;
  config.dim = size_field(fields, "dim", config.dim);
  config.depth = size_field(fields, "depth", config.depth, 1, kDepthMax);
  config.heads = size_field(fields, "heads", config.heads);
  config.dim_head = size_field(fields, "dim_head", config.dim_head);
  config.ff_mult = size_field(fields, "ff_mult", dit ? 2 : 4, 1, 64);
  config.mel = size_field(fields, "mel", mel);
  config.vocabulary = size_field(fields, "vocab", vocabulary, 1, 1 << 20);
  config.text_dim = size_field(fields, "text_dim", dit ? 512 : config.mel);
  config.conv_layers = size_field(fields, "conv_layers", dit ? 4 : 0, 0, kDepthMax);
  config.text_mask_padding = fields.flag("text_mask_padding", config.text_mask_padding);
  config.average_upsampling = fields.flag("average_upsampling", config.average_upsampling);
  config.long_skip = fields.flag("long_skip", config.long_skip);
  config.dropout = fields.number("dropout", config.dropout);
  // An absent pe_attn_heads means the shipped default 1, an explicit null means all heads.
  const Value* rotated = value.find("pe_attn_heads");
  if (rotated != nullptr && rotated->is_null()) {
    fields.child("pe_attn_heads");
    config.pe_attn_heads.reset();
  } else {
    config.pe_attn_heads = size_field(fields, "pe_attn_heads", 1, 0);
    fields.require(*config.pe_attn_heads <= config.heads, "pe_attn_heads",
                   "there are not so many heads");
  }
  config.qk_norm = fields.text("qk_norm", "") == "rms_norm";
  fields.require(config.qk_norm || fields.child("qk_norm") == nullptr, "qk_norm",
                 "expected rms_norm or null");
  const std::string skip = fields.choice("skip", {"concat", "add", "none"}, "concat");
  config.skip = skip == "concat" ? SkipConnection::kConcat
                : skip == "add"  ? SkipConnection::kAdd
                                 : SkipConnection::kNone;
  const bool upstream = fields.choice("masks", {"original", "upstream"}, "original") == "upstream";
  config.masks = upstream ? Masks::kUpstream : Masks::kOriginal;
  config.attention_mask = fields.flag("attention_mask", config.attention_mask);
  fields.require(upstream || !config.attention_mask, "attention_mask",
                 "is a switch of masks: upstream");
  fields.require(config.dim_head % 2 == 0, "dim_head",
                 "must be even: rotation turns pairs of channels");
  fields.require(config.dim % kPositionGroups == 0, "dim",
                 fmt::format("must be a multiple of {}, the groups of the position convolution",
                             kPositionGroups));
  fields.require(config.conv_layers == 0 || config.text_dim % 2 == 0, "text_dim",
                 "must be even: half sines, half cosines");
  fields.require(dit || !config.average_upsampling, "average_upsampling",
                 "is a switch of model: dit; the text encoder of a unett has none");
  fields.require(config.text_mask_padding || !config.average_upsampling, "average_upsampling",
                 "needs text_mask_padding: true, which tells tokens from filler");
  fields.require(dit || !config.long_skip, "long_skip",
                 "is a switch of model: dit; how a unett joins its skips is \"skip\"");
  fields.require(!dit || config.skip == SkipConnection::kConcat, "skip",
                 "is a switch of model: unett; a dit has \"long_skip\"");
  fields.require(dit || config.depth % 2 == 0, "depth",
                 "must be even: the second half takes the first half's skips");
  fields.require(config.dropout >= 0 && config.dropout < 1, "dropout",
                 "expected a number from 0 up to 1");
  STRATA_CHECK_OK(fields.finish());
  return config;
}

Value to_value(const ModelConfig& config) {
  return Object{{"model", config.architecture == Architecture::kDit ? "dit" : "unett"},
                {"dim", config.dim},
                {"depth", config.depth},
                {"heads", config.heads},
                {"dim_head", config.dim_head},
                {"ff_mult", config.ff_mult},
                {"mel", config.mel},
                {"vocab", config.vocabulary},
                {"text_dim", config.text_dim},
                {"conv_layers", config.conv_layers},
                {"text_mask_padding", config.text_mask_padding},
                {"average_upsampling", config.average_upsampling},
                {"pe_attn_heads", config.pe_attn_heads ? Value(*config.pe_attn_heads) : Value()},
                {"qk_norm", config.qk_norm ? Value("rms_norm") : Value()},
                {"long_skip", config.long_skip},
                {"skip", name_of(config.skip)},
                {"masks", config.masks == Masks::kUpstream ? "upstream" : "original"},
                {"attention_mask", config.attention_mask},
                {"dropout", config.dropout}};
}

}  // namespace strata::trainer

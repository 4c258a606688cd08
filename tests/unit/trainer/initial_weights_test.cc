// Training that starts from given weights: what is copied, and what is refused by name.
#include "trainer/initial_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/json.h"
#include "base/sha256.h"
#include "tests/support/temporary_folder.h"
#include "tests/unit/trainer/synthetic.h"
#include "trainer/losses/objective.h"
#include "trainer/training_loop.h"

namespace strata::trainer {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

ModelDescription description_of(const ModelConfig& model, const char* vocabulary = " \na\nb\nc\n") {
  return {.model = model,
          .vocabulary = Vocabulary::parse(vocabulary).value(),
          .mel = MelKind::kHifigan,
          .normalise = {.mean = -5, .deviation = 2}};
}

ModelConfig small() {
  ModelConfig model = tiny_config();
  model.mel = 80;  // of the front end
  return model;
}

NamedTensors weights_of(Backbone& backbone) {
  NamedTensors weights;
  for (const auto& entry : backbone.named_parameters())
    weights.emplace(entry.key(), entry.value().detach().clone());
  return weights;
}

class InitialWeights : public ::testing::Test {
 protected:
  void SetUp() override {
    given_ = std::make_shared<AcousticModel>(small(), AlignConfig{}, 5);
    write(description_of(small()));
  }
  void write(const ModelDescription& description) {
    ASSERT_TRUE(write_trained_model(folder(), weights_of(given_->backbone()), description, 77));
  }
  [[nodiscard]] fs::path folder() const { return temporary_ / "weights"; }

  void expect_refused(const ModelDescription& wanted, const std::string& message) {
    AcousticModel model(wanted.model, {}, 1);
    const auto started = start_from(folder(), wanted, model);
    ASSERT_FALSE(started) << message;
    EXPECT_EQ(started.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(started.error().message, HasSubstr(message));
    EXPECT_THAT(started.error().message, HasSubstr(folder().string()));
  }

  testing::TemporaryFolder temporary_;
  std::shared_ptr<AcousticModel> given_;
};

TEST_F(InitialWeights, TheBackboneIsTheirsAndTheHeadsAreTheSeeds) {
  AlignConfig align = tiny_align();
  AcousticModel fresh(small(), align, 1);
  AcousticModel model(small(), align, 1);
  const auto identity = start_from(folder(), description_of(small()), model);
  ASSERT_TRUE(identity) << identity.error().message;
  EXPECT_EQ(*identity, *sha256_file(folder() / "model.safetensors"));
  const NamedTensors theirs = weights_of(given_->backbone());
  for (const auto& [name, tensor] : weights_of(model.backbone()))
    EXPECT_TRUE(tensor.equal(theirs.at(name))) << name;
  const auto drawn = fresh.named_parameters();
  for (const auto& entry : model.named_parameters()) {
    if (entry.key().starts_with("backbone.")) continue;
    EXPECT_TRUE(entry.value().equal(drawn[entry.key()])) << entry.key();
  }
}

// The first update reports the loss before its step.
TEST_F(InitialWeights, TheFirstLossIsThatOfTheGivenWeights) {
  std::vector<Utterance> train = synthetic_utterances(4, 1);
  std::vector<Utterance> heldout = synthetic_utterances(2, 2);
  for (std::vector<Utterance>* list : {&train, &heldout}) {
    for (Utterance& utterance : *list) utterance.mel = utterance.mel.repeat({1, 10});
  }
  TrainOptions options;
  options.updates = 3;
  options.batch = 4;
  options.seed = 9;
  options.schedule = {.base = 1e-3, .warmup = 1, .total = 3};
  options.progress_every = 1;
  // DiT predicts 0 at first: weights that do not, so that the loss depends on them.
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : given_->backbone().parameters()) parameter.add_(0.01);
  }
  write(description_of(small()));
  const auto first_loss = [&](AcousticModel& model) {
    double loss = -1;
    auto communicator = make_single_communicator();
    const SystemClock clock;
    TrainingLoop loop(model, train, heldout, *communicator, clock, options,
                      {.progress = [&](std::int64_t update, const Metrics& metrics) -> Status {
                        if (update == 1 && metrics.contains("loss")) loss = metrics.at("loss");
                        return {};
                      }});
    EXPECT_TRUE(loop.run().has_value());
    return loss;
  };
  AcousticModel model(small(), {}, 1);
  ASSERT_TRUE(start_from(folder(), description_of(small()), model));
  AcousticModel fresh(small(), {}, 1);

  const Batch batch = collate(pointers(train));
  const Draws draws = draw(options.seed, 0, batch, options.draw);
  const double expected =
      compute_losses(*given_, batch, draws, count(batch, draws)).total.item<double>();
  EXPECT_NEAR(first_loss(model), expected, 1e-5 * expected);
  EXPECT_GT(std::abs(first_loss(fresh) - expected), 3e-4 * expected);
}

TEST_F(InitialWeights, AnotherVocabularyIsRefusedWithTheFirstTokenThatDiffers) {
  expect_refused(description_of(small(), " \na\nx\nc\n"), "token 2 is 'x' here, 'b' there");
  expect_refused(description_of(small(), " \na\nb\nc\nd\n"),
                 "token 4 is 'd' here, absent there (5 and 4 tokens)");
  expect_refused(description_of(small(), "#tokenizer pinyin\n \na\nb\nc\n"),
                 "the tokenizer is pinyin here, char there");
}

TEST_F(InitialWeights, AnotherFunctionIsRefusedByTheParameterThatMakesIt) {
  ModelConfig other = small();
  other.dim = 64;
  expect_refused(description_of(other), "parameters.model.dim is 64, these weights have 32");
  other = small();
  other.pe_attn_heads.reset();
  expect_refused(description_of(other),
                 "parameters.model.pe_attn_heads is null, these weights have 1");
  other = small();
  other.text_mask_padding = true;
  expect_refused(description_of(other), "parameters.model.text_mask_padding");
}

TEST_F(InitialWeights, OtherMelsAreRefused) {
  ModelDescription wanted = description_of(small());
  wanted.normalise = {};
  expect_refused(wanted, "set parameters.train.normalise to corpus");
  write(wanted);
  expect_refused(description_of(small()), "set parameters.train.normalise to none");
}

TEST_F(InitialWeights, AnotherDropoutAndOtherMasksAreNoOtherFunction) {
  ModelConfig other = small();
  other.dropout = 0.3;
  other.masks = Masks::kUpstream;
  AcousticModel model(other, {}, 1);
  EXPECT_TRUE(start_from(folder(), description_of(other), model));
}

TEST_F(InitialWeights, WeightsThatLackATensorAreRefusedByItsName) {
  NamedTensors weights = weights_of(given_->backbone());
  weights.erase("proj_out.bias");
  ASSERT_TRUE(write_tensors(folder() / "model.safetensors", weights));
  expect_refused(description_of(small()), "the weights hold no tensor proj_out.bias");
  weights.emplace("proj_out.bias", at::zeros({3}));
  ASSERT_TRUE(write_tensors(folder() / "model.safetensors", weights));
  expect_refused(description_of(small()),
                 "tensor proj_out.bias has shape [3], the model needs [80]");
}

// ---- the stage that makes the folder

class Import : public InitialWeights {
 protected:
  Result<int> import(Object init) {
    StageSpec spec;
    spec.parameters = Object{{"init", std::move(init)}, {"mel", "vocos"}};
    spec.outputs.emplace("weights", temporary_ / "imported");
    return run_import(spec);
  }
};

TEST_F(Import, AFolderOfWeightsIsCopiedWhereItsHashIsTheOneThatIsWanted) {
  const std::string hash = *sha256_file(folder() / "model.safetensors");
  const auto code = import({{"weights", folder().string()}, {"sha256", hash}});
  ASSERT_TRUE(code) << code.error().message;
  for (const char* file : {"model.safetensors", "model.json"})
    EXPECT_TRUE(*read_file(folder() / file) == *read_file(temporary_ / "imported" / file)) << file;
  const auto refused = import({{"weights", folder().string()}, {"sha256", std::string(64, '0')}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("its SHA-256 is " + hash));
}

TEST_F(Import, WhatAFolderSaysItselfIsNotToBeSaidAgain) {
  const auto refused = import({{"weights", folder().string()}, {"generation", "v1"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("parameters.init.generation"));
  EXPECT_FALSE(import({}));
}

TEST_F(Import, AFileIsImportedAsTheWeightsProgramDoes) {
  ModelConfig model = tiny_config();
  model.mel = 100;
  const AcousticModel official(model, {}, 3);
  NamedTensors file;
  for (auto& [name, tensor] : weights_of(const_cast<AcousticModel&>(official).backbone()))
    file.emplace("ema_model.transformer." + name, tensor);
  ASSERT_TRUE(write_tensors(temporary_ / "official.safetensors", file));
  std::string lines = " \n";
  for (char c = 'a'; c < 'j'; ++c) lines += std::string(1, c) + "\n";
  ASSERT_TRUE(write_file_unsynced(temporary_ / "vocab.txt", lines));
  const auto code = import({{"weights", (temporary_ / "official.safetensors").string()},
                            {"vocabulary", (temporary_ / "vocab.txt").string()},
                            {"tokenizer", "char"},
                            {"generation", "adma"},
                            {"dim_head", 16}});
  ASSERT_TRUE(code) << code.error().message;
  const auto imported = load_trained_model(temporary_ / "imported");
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_EQ(imported->description.mel, MelKind::kVocos);
  EXPECT_EQ(imported->description.model.dim, 32);
}

}  // namespace
}  // namespace strata::trainer

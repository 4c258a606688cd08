#include "trainer/training_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "base/files.h"
#include "base/json.h"
#include "tests/unit/trainer/synthetic.h"
#include "trainer/checkpoint.h"

namespace strata::trainer {
namespace {

TrainOptions tiny_options(std::int64_t updates) {
  TrainOptions options;
  options.updates = updates;
  options.batch = 4;
  options.schedule = {.base = 2e-3, .warmup = 2, .total = updates};
  options.seed = 11;
  options.seed_data = 11;
  options.draw.dropout = 0.1;
  options.progress_every = 1;
  return options;
}

// A run with everything around it; `record` collects what the hooks were told.
struct Rehearsal {
  explicit Rehearsal(const TrainOptions& options, const AlignConfig& align = tiny_align(),
                     std::uint64_t corpus = 1)
      : train(synthetic_utterances(10, corpus)),
        heldout(synthetic_utterances(3, 77)),
        communicator(make_single_communicator()),
        model(tiny_config(), align, options.seed),
        loop(model, train, heldout, *communicator, clock, options,
             {.progress = [this](std::int64_t update,
                                 const Metrics& m) { return record(update, m); },
              .checkpoint = [this](const TrainingState& state) -> Status {
                saved = state;
                for (auto& [name, tensor] : saved.tensors) tensor = tensor.clone();
                return {};
              },
              .stop_requested =
                  [this] {
                    ++asked;
                    return stop_at == static_cast<std::int64_t>(losses.size()) + 1 ||
                           (stop_ask > 0 && asked >= stop_ask);
                  }}) {}
  Status record(std::int64_t, const Metrics& metrics) {
    told.push_back(metrics);
    if (metrics.contains("loss")) losses.push_back(metrics.at("loss"));
    if (std::ssize(losses) == spoil_heldout_at)
      heldout[0].mel.fill_(std::numeric_limits<float>::quiet_NaN());
    return {};
  }
  Ending run() {
    const auto ending = loop.run();
    EXPECT_TRUE(ending.has_value()) << (ending ? "" : ending.error().message);
    return ending.value_or(Ending::kDiverged);
  }

  std::vector<Utterance> train, heldout;
  SystemClock clock;
  std::unique_ptr<Communicator> communicator;
  std::vector<double> losses;
  std::vector<Metrics> told;
  TrainingState saved;
  std::int64_t stop_at = -1;
  int asked = 0;      // whether to stop
  int stop_ask = -1;  // the question from which on the answer is yes
  std::ptrdiff_t spoil_heldout_at = -1;
  AcousticModel model;
  TrainingLoop loop;
};

std::vector<double> heldout_told(const Rehearsal& run) {
  std::vector<double> losses;
  for (const Metrics& metrics : run.told) {
    if (metrics.contains("validation_loss")) losses.push_back(metrics.at("validation_loss"));
  }
  return losses;
}

void expect_same_tensors(const NamedTensors& a, const NamedTensors& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(torch::equal(tensor, b.at(name))) << name;
}

void expect_losses_of_small_run(double dropout, const std::vector<double>& expected) {
  TrainOptions options = tiny_options(10);
  options.draw.dropout = dropout;
  Rehearsal run(options);
  EXPECT_EQ(run.run(), Ending::kFinished);
  ASSERT_EQ(run.losses.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(run.losses[i], expected[i], 1e-5 * expected[i]) << i;
}

// Recorded from this program after its losses and gradients had matched the reference
// implementation (probe_test), and before dropout came from counters.
TEST(TrainingLoop, TenLossesOfASmallRunAreThoseOnRecord) {
  expect_losses_of_small_run(0, {2.1985572, 2.2224023, 2.1033791, 1.9427476, 1.9199885, 2.1510293,
                                 1.7255710, 1.8355384, 1.9779553, 1.6950866});
}

// Recorded since dropout comes from counters: they hold its numbers.
TEST(TrainingLoop, TenLossesWithDropoutAreThoseOnRecord) {
  expect_losses_of_small_run(0.1, {2.1985572, 2.2224023, 2.1033684, 1.9427410, 1.9199543, 2.1509551,
                                   1.7252479, 1.8355076, 1.9782421, 1.6949346});
}

TEST(TrainingLoop, SeveralTapsAreToldByLayerAndAddUpToTheLoss) {
  AlignConfig align = tiny_align();
  align.text.push_back({.layer = 3, .weight = 0.25});
  align.warmup = 4;
  Rehearsal run(tiny_options(6), align);
  EXPECT_EQ(run.run(), Ending::kFinished);
  std::vector<Metrics> updates;
  for (const Metrics& metrics : run.told) {
    if (metrics.contains("loss")) updates.push_back(metrics);
  }
  ASSERT_EQ(updates.size(), 6U);
  // At factor 0 nobody computes the terms.
  EXPECT_FALSE(updates[0].contains("loss_text"));
  EXPECT_EQ(updates[0].at("loss"), updates[0].at("loss_flow"));
  for (std::size_t u = 1; u < updates.size(); ++u) {
    const Metrics& told = updates[u];
    const double factor = std::min(1.0, static_cast<double>(u) / 4);
    EXPECT_FALSE(told.contains("loss_speech_2")) << "there is one tap only";
    EXPECT_NEAR(told.at("loss_text"), told.at("loss_text_1") + told.at("loss_text_3"), 1e-9);
    EXPECT_NEAR(
        told.at("loss"),
        told.at("loss_flow") + factor * (0.1 * told.at("loss_text_1") +
                                         0.25 * told.at("loss_text_3") + told.at("loss_speech")),
        1e-9);
  }
}

TEST(TrainingLoop, UpdatesWithoutTextMayLeaveTheAlignmentOut) {
  TrainOptions options = tiny_options(12);
  options.draw.drop_audio = 0;
  options.draw.drop_both = 0.5;
  AlignConfig align = tiny_align();
  align.skip_dropped = SkipDropped::kText;
  Rehearsal run(options, align);
  EXPECT_EQ(run.run(), Ending::kFinished);
  int without = 0;
  int updates = 0;
  for (const Metrics& metrics : run.told) {
    if (!metrics.contains("loss")) continue;
    ++updates;
    if (metrics.contains("loss_text")) continue;
    ++without;
    EXPECT_EQ(metrics.at("loss"), metrics.at("loss_flow"));
  }
  EXPECT_EQ(updates, 12);
  EXPECT_GT(without, 0);
  EXPECT_LT(without, 12);
}

TEST(TrainingLoop, BatchesOfLikeLengthAreGoneOnWithExactly) {
  TrainOptions options = tiny_options(8);
  options.batch_frames = 90;  // two or three of the utterances
  Rehearsal whole(options);
  EXPECT_EQ(whole.run(), Ending::kFinished);
  Rehearsal mixed(tiny_options(8));
  EXPECT_EQ(mixed.run(), Ending::kFinished);
  EXPECT_NE(whole.losses, mixed.losses) << "they are other batches";
  Rehearsal first(options);
  first.stop_at = 3;
  EXPECT_EQ(first.run(), Ending::kStopped);
  Rehearsal second(options);
  ASSERT_TRUE(second.loop.restore(first.saved));
  EXPECT_EQ(second.run(), Ending::kFinished);
  expect_same_tensors(whole.loop.last_weights(), second.loop.last_weights());
}

TEST(TrainingLoop, AnInterruptedRunEndsLikeAnUndisturbedOneBitForBit) {
  TrainOptions options = tiny_options(10);
  Rehearsal whole(options);
  EXPECT_EQ(whole.run(), Ending::kFinished);

  Rehearsal first(options);
  first.stop_at = 6;  // after the early weights (update 2) were taken
  EXPECT_EQ(first.run(), Ending::kStopped);
  ASSERT_EQ(first.saved.update, 6);
  const auto folder = make_temporary_folder("/tmp", "strata-resume-");
  ASSERT_TRUE(folder.has_value());
  ASSERT_TRUE(save_checkpoint(*folder / "00000006", Value(1), first.saved));
  const auto state = load_checkpoint(*folder / "00000006", Value(1));
  ASSERT_TRUE(state.has_value()) << state.error().message;

  Rehearsal second(options);
  ASSERT_TRUE(second.loop.restore(*state));
  EXPECT_EQ(second.run(), Ending::kFinished);
  EXPECT_EQ(second.losses, std::vector<double>(whole.losses.begin() + 6, whole.losses.end()));
  expect_same_tensors(second.loop.last_weights(), whole.loop.last_weights());
  expect_same_tensors(second.loop.early_weights(), whole.loop.early_weights());
  EXPECT_EQ(Value(second.loop.validation_lines()), Value(whole.loop.validation_lines()));
  std::filesystem::remove_all(*folder);
}

TEST(TrainingLoop, TheCurveOfAnInterruptedRunIsThatOfAnUndisturbedOne) {
  TrainOptions options = tiny_options(10);
  options.validate_every = 3;
  options.ema.update_after = 1;
  Rehearsal whole(options);
  EXPECT_EQ(whole.run(), Ending::kFinished);
  // Early at 2, on the way at 3, 6 and 9, last at 10; three utterances each.
  EXPECT_EQ(whole.loop.validation_lines().size(), 5 * 3U);
  Rehearsal first(options);
  first.stop_at = 7;
  EXPECT_EQ(first.run(), Ending::kStopped);
  const auto folder = make_temporary_folder("/tmp", "strata-curve-");
  ASSERT_TRUE(folder.has_value());
  ASSERT_TRUE(save_checkpoint(*folder / "00000007", Value(1), first.saved));
  const auto state = load_checkpoint(*folder / "00000007", Value(1));
  ASSERT_TRUE(state.has_value()) << state.error().message;
  Rehearsal second(options);
  ASSERT_TRUE(second.loop.restore(*state));
  EXPECT_EQ(second.run(), Ending::kFinished);
  EXPECT_EQ(Value(second.loop.validation_lines()), Value(whole.loop.validation_lines()));
  std::filesystem::remove_all(*folder);
}

TEST(TrainingLoop, MicroBatchesAddUpToTheUndividedBatch) {
  TrainOptions options = tiny_options(4);
  Rehearsal whole(options);
  whole.run();
  options.micro_batch = 3;
  Rehearsal divided(options);
  divided.run();
  ASSERT_EQ(whole.losses.size(), divided.losses.size());
  for (std::size_t i = 0; i < whole.losses.size(); ++i)
    EXPECT_NEAR(whole.losses[i], divided.losses[i], 1e-4 * whole.losses[i]);
}

TEST(TrainingLoop, LearningLowersTheLoss) {
  TrainOptions options = tiny_options(150);
  options.draw.dropout = 0;
  Rehearsal run(options);
  run.run();
  const auto mean = [&](std::size_t from) {
    double sum = 0;
    for (std::size_t i = from; i < from + 10; ++i) sum += run.losses[i];
    return sum / 10;
  };
  EXPECT_LT(mean(140), 0.6 * mean(0));
}

TEST(TrainingLoop, ALossThatIsNoNumberEndsTheRunAsDiverged) {
  Rehearsal run(tiny_options(10));
  for (Utterance& utterance : run.train)
    utterance.mel.fill_(std::numeric_limits<float>::infinity());
  EXPECT_EQ(run.run(), Ending::kDiverged);
  EXPECT_TRUE(run.losses.empty());
}

TEST(TrainingLoop, AStopAtAnyPlaceIsObeyedAtOnceAndChangesNoByteOfTheResult) {
  TrainOptions options = tiny_options(4);
  options.micro_batch = 2;  // of 4
  options.validate_every = 2;
  options.ema.update_after = 1;
  Rehearsal whole(options);
  EXPECT_EQ(whole.run(), Ending::kFinished);
  // Two questions an update; three a validation: early, at update 2, last.
  ASSERT_EQ(whole.asked, 4 * 2 + 3 * 3);
  std::set<std::int64_t> stopped_after;
  for (int place = 1; place <= whole.asked; ++place) {
    SCOPED_TRACE(place);
    Rehearsal first(options);
    first.stop_ask = place;
    ASSERT_EQ(first.run(), Ending::kStopped);
    EXPECT_LE(first.asked, place + 1) << "nothing more is begun";
    ASSERT_EQ(first.saved.update, std::ssize(first.losses));
    stopped_after.insert(first.saved.update);
    Rehearsal second(options);
    ASSERT_TRUE(second.loop.restore(first.saved));
    EXPECT_EQ(second.run(), Ending::kFinished);
    auto losses = first.losses;
    losses.insert(losses.end(), second.losses.begin(), second.losses.end());
    EXPECT_EQ(losses, whole.losses);
    auto heldout = heldout_told(first);
    for (const double loss : heldout_told(second)) heldout.push_back(loss);
    EXPECT_EQ(heldout, heldout_told(whole)) << "each is measured once, by one life or the other";
    expect_same_tensors(second.loop.last_weights(), whole.loop.last_weights());
    expect_same_tensors(second.loop.early_weights(), whole.loop.early_weights());
    EXPECT_EQ(Value(second.loop.validation_lines()), Value(whole.loop.validation_lines()));
  }
  EXPECT_EQ(stopped_after, (std::set<std::int64_t>{0, 1, 2, 3, 4}));
}

TEST(TrainingLoop, AHeldOutLossThatIsNoNumberEndsTheRunAsDiverged) {
  Rehearsal early(tiny_options(10));
  early.heldout[2].mel.fill_(std::numeric_limits<float>::infinity());
  EXPECT_EQ(early.run(), Ending::kDiverged);
  EXPECT_EQ(early.losses.size(), 2U);  // the early weights are those of update 2
  EXPECT_TRUE(early.loop.validation_lines().empty());
  Rehearsal last(tiny_options(10));
  last.spoil_heldout_at = 5;
  EXPECT_EQ(last.run(), Ending::kDiverged);
  EXPECT_EQ(last.losses.size(), 10U);
  EXPECT_EQ(last.loop.validation_lines().size(), 3U) << "only the early ones";
}

TEST(TrainingLoop, CellsThatDifferOnlyInTheirHeadsStartFromTheSameBackbone) {
  AcousticModel with(tiny_config(), tiny_align(), 5);
  AcousticModel without(tiny_config(), {}, 5);
  for (const auto& entry : without.named_parameters()) {
    EXPECT_TRUE(torch::equal(entry.value(), with.named_parameters()[entry.key()])) << entry.key();
  }
}

TEST(TrainingLoop, HeldOutLossesDoNotDependOnTheSeedOfTheRun) {
  Rehearsal a(tiny_options(1));
  TrainOptions other = tiny_options(1);
  other.seed = 12;
  Rehearsal b(other);
  {
    const torch::NoGradGuard no_grad;
    auto from = a.model.named_parameters();
    for (auto& entry : b.model.named_parameters()) entry.value().copy_(from[entry.key()]);
  }
  const auto of_a = validate(a.model, a.heldout, *a.communicator);
  const auto of_b = validate(b.model, b.heldout, *b.communicator);
  ASSERT_TRUE(of_a && of_b);
  for (std::size_t i = 0; i < of_a->size(); ++i) EXPECT_EQ((*of_a)[i].loss, (*of_b)[i].loss);
}

TEST(Validation, NobodySpeaksTheirOwnTranscriptWhenPermuted) {
  for (std::size_t count = 2; count < 9; ++count) {
    std::vector<bool> taken(count, false);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_NE(permuted_partner(i, count), i);
      taken[permuted_partner(i, count)] = true;
    }
    EXPECT_EQ(std::count(taken.begin(), taken.end(), true), static_cast<std::ptrdiff_t>(count));
  }
}

class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = *make_temporary_folder("/tmp", "strata-checkpoint-");
    state_ = {
        .update = 5, .average_calls = 5, .tensors = {{"model.w", torch::ones({3})}}, .early = {}};
    ASSERT_TRUE(save_checkpoint(folder_ / "5", Object{{"seed", 1}}, state_));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
  TrainingState state_;
};

TEST_F(CheckpointTest, ComesBackAsItWas) {
  const auto back = load_checkpoint(folder_ / "5", Object{{"seed", 1}});
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(back->update, 5);
  EXPECT_TRUE(torch::equal(back->tensors.at("model.w"), torch::ones({3})));
}

TEST_F(CheckpointTest, OfAnotherRecipeIsRefused) {
  const auto back = load_checkpoint(folder_ / "5", Object{{"seed", 2}});
  ASSERT_FALSE(back.has_value());
  EXPECT_EQ(back.error().code, ErrorCode::kInvalid);
}

TEST_F(CheckpointTest, WithAChangedByteIsFoundDamaged) {
  const auto path = folder_ / "5" / "state.safetensors";
  auto bytes = read_file(path);
  ASSERT_TRUE(bytes.has_value());
  bytes->back() = static_cast<char>(bytes->back() ^ 1);
  ASSERT_TRUE(write_file_atomic(path, *bytes));
  const auto back = load_checkpoint(folder_ / "5", Object{{"seed", 1}});
  ASSERT_FALSE(back.has_value());
  EXPECT_EQ(back.error().code, ErrorCode::kDamaged);
}

TEST_F(CheckpointTest, WithAChangedByteInItsDescriptionIsRefusedWhereverItIs) {
  const auto path = folder_ / "5" / "checkpoint.json";
  const auto bytes = read_file(path);
  ASSERT_TRUE(bytes.has_value());
  for (std::size_t i = 0; i < bytes->size(); ++i) {
    std::string changed = *bytes;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    if (parse_json(changed) && *parse_json(changed) == *parse_json(*bytes)) continue;
    ASSERT_TRUE(write_file_unsynced(path, changed));
    EXPECT_FALSE(load_checkpoint(folder_ / "5", Object{{"seed", 1}}).has_value())
        << "byte " << i << " as " << changed[i];
  }
}

TEST_F(CheckpointTest, OfTheFirstFormatIsStillRead) {
  const auto path = folder_ / "5" / "checkpoint.json";
  Value about = parse_json(*read_file(path)).value();
  about.if_object()->erase("own_sha256");
  about.if_object()->insert_or_assign("format", 1);
  ASSERT_TRUE(write_file_unsynced(path, to_canonical_json(about)));
  EXPECT_TRUE(load_checkpoint(folder_ / "5", Object{{"seed", 1}}).has_value());
}

TEST_F(CheckpointTest, ReplacesAnOlderOneOfTheSameNameWhole) {
  state_.update = 6;
  ASSERT_TRUE(save_checkpoint(folder_ / "5", Object{{"seed", 1}}, state_));
  EXPECT_EQ(load_checkpoint(folder_ / "5", Object{{"seed", 1}})->update, 6);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

// Two linear maps of which the loss may use only one.
struct TwoParts : torch::nn::Module {
  TwoParts()
      : a(register_module("a", torch::nn::Linear(2, 2))),
        b(register_module("b", torch::nn::Linear(2, 2))) {}
  torch::nn::Linear a, b;
};

TEST(GradientReducer, AnUnusedParameterHasGradientZeroAndOthersAreUntouchedByIt) {
  TwoParts parts;
  FlatParameters flat(parts);
  const auto communicator = make_single_communicator();
  GradientReducer reducer(flat, *communicator);
  for (const FlatParameters::Piece& piece : flat.pieces()) piece.gradient.fill_(5);  // from before
  reducer.start(2);
  parts.a(torch::ones({1, 2})).sum().backward();
  parts.a(torch::ones({1, 2})).sum().backward();  // accumulates
  ASSERT_TRUE(reducer.finish());
  EXPECT_FALSE(parts.a->weight.grad().defined()) << "no second copy";
  const NamedTensors named = flat.named(flat.gradients());
  EXPECT_TRUE(torch::equal(named.at("a.weight"), torch::full({2, 2}, 2.0)));
  EXPECT_EQ(named.at("b.weight").abs().sum().item<float>(), 0.0F);
  EXPECT_EQ(flat.gradients().sum().item<float>(), 4 * 2.0F + 2 * 2.0F);
}

// Notes what is begun, and adds as many ranks as it says, all alike, when the sums are finished.
class NotingCommunicator final : public Communicator {
 public:
  [[nodiscard]] int rank() const override { return 0; }
  [[nodiscard]] int size() const override { return 3; }
  Status all_reduce_sum(std::span<float>) override { return {}; }
  Status all_reduce_sum(std::span<double>) override { return {}; }
  Status begin_sum(std::span<float> values) override {
    begun.push_back(values);
    at_begin.emplace_back(values.begin(), values.end());
    return {};
  }
  Status finish_sums() override {
    for (std::size_t i = 0; i < begun.size(); ++i) {
      // What was handed over was left alone since.
      EXPECT_TRUE(std::ranges::equal(begun[i], at_begin[i])) << "bucket " << i;
      for (float& value : begun[i]) value *= 3;
    }
    begun.clear();
    return {};
  }
  Status broadcast(std::span<char>, int) override { return {}; }
  Status barrier() override { return {}; }
  void abandon(int) override {}

  std::vector<std::span<float>> begun{};
  std::vector<std::vector<float>> at_begin{};
};

// Of 16 elements: the parameters of 8 x 8 lie in four each, those of 8 share one.
TEST(GradientReducer, ABucketIsSentWhenItAndThoseBeforeItAreComplete) {
  struct Chain : torch::nn::Module {
    Chain()
        : first(register_module("first", torch::nn::Linear(8, 8))),
          second(register_module("second", torch::nn::Linear(8, 8))),
          unused(register_module("unused", torch::nn::Linear(8, 8))) {}
    torch::nn::Linear first, second, unused;
  };
  torch::manual_seed(5);
  for (const bool last_is_used : {true, false}) {
    Chain chain;
    const at::Tensor x = torch::randn({4, 8});
    const auto loss = [&] {
      const at::Tensor y = chain.second(chain.first(x)).square().sum();
      return last_is_used ? y + chain.unused(x).square().sum() : y;
    };
    auto gradients = torch::autograd::grad({loss()}, chain.parameters(), {}, {}, {}, true);
    FlatParameters flat(chain);
    NotingCommunicator communicator;
    GradientReducer reducer(flat, communicator, 16);
    reducer.start(2);
    loss().backward();
    EXPECT_TRUE(communicator.begun.empty()) << "the second pass is still to come";
    loss().backward();
    const std::size_t all = static_cast<std::size_t>((flat.total() + 15) / 16);
    EXPECT_EQ(communicator.begun.size(), last_is_used ? all : 0)
        << "what comes first and is not reached holds up the rest";
    ASSERT_TRUE(reducer.finish());
    const NamedTensors named = flat.named(flat.gradients());
    std::size_t i = 0;
    for (const auto& entry : chain.named_parameters()) {
      const at::Tensor expected =
          gradients[i].defined() ? gradients[i] * 6 : torch::zeros_like(entry.value());
      EXPECT_TRUE(torch::allclose(named.at(entry.key()), expected, 1e-5, 1e-6)) << entry.key();
      ++i;
    }
  }
}

TEST(GradientReducer, ParametersBecomeViewsWithoutChangingTheirValues) {
  TwoParts parts;
  const at::Tensor before = parts.a->weight.detach().clone();
  FlatParameters flat(parts);
  EXPECT_TRUE(torch::equal(parts.a->weight, before));
  flat.values().zero_();
  EXPECT_EQ(parts.a->weight.abs().sum().item<float>(), 0.0F);
}

TEST(AdamW, FollowsTorchsOwnOptimizer) {
  torch::manual_seed(4);
  at::Tensor ours = torch::randn({40});
  at::Tensor theirs = ours.clone().requires_grad_();
  AdamW optimizer({}, 40);
  torch::optim::AdamW reference({theirs}, torch::optim::AdamWOptions(1e-2).weight_decay(0.01));
  for (int update = 0; update < 5; ++update) {
    at::Tensor gradient = torch::randn({40});
    optimizer.step(ours, gradient, 1e-2, update);
    theirs.mutable_grad() = gradient.clone();
    reference.step();
  }
  EXPECT_LT((ours - theirs.detach()).abs().max().item<float>(), 1e-5F);
}

TEST(Clip, ScalesToTheLimitAndLeavesSmallGradientsAlone) {
  at::Tensor large = torch::full({4}, 3.0F);
  const Clip clip = clip_to(large, 1.0);
  EXPECT_NEAR(clip.norm, 6, 1e-5);
  EXPECT_NEAR(clip.divisor, 6 + 1e-6, 1e-5);
  EXPECT_EQ(clip_to(torch::full({4}, 0.1F), 1.0).divisor, 1);
  AdamW optimizer({}, 4);
  at::Tensor values = torch::ones({4});
  optimizer.step(values, large, 1e-3, 0, clip.divisor);
  EXPECT_NEAR(large.norm().item<double>(), 1, 1e-5);
  // (1 - beta1) of what was left.
  EXPECT_NEAR(optimizer.first_moment().norm().item<double>(), 0.1, 1e-6);
}

}  // namespace
}  // namespace strata::trainer

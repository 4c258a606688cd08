// The training loop over utterances that are not in memory.
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/trainer/synthetic.h"
#include "trainer/training_loop.h"

namespace strata::trainer {
namespace {

// Gives what it was made of, and never twice the same tensors.
class CopyingSource final : public UtteranceSource {
 public:
  void add(const std::vector<Utterance>& whole) {
    whole_.insert(whole_.end(), whole.begin(), whole.end());
  }
  void break_item(const std::string& id) { broken_ = id; }
  Result<Utterance> load(const Utterance& utterance) const override {
    if (utterance.id == broken_)
      return fail(ErrorCode::kDamaged, "wavs/{}.wav is cut off", utterance.id);
    Utterance whole = *std::ranges::find(whole_, utterance.id, &Utterance::id);
    whole.mel = whole.mel.clone();
    whole.features = whole.features.clone();
    return whole;
  }

 private:
  std::vector<Utterance> whole_{};
  std::string broken_{};
};

std::vector<Utterance> without_tensors(std::vector<Utterance> utterances) {
  for (Utterance& one : utterances) {
    one.absent = {
        .frames = one.frames(), .bands = one.bands(), .feature_frames = one.feature_frames()};
    one.mel.reset();
    one.features.reset();
  }
  return utterances;
}

TrainOptions options_of_a_run() {
  TrainOptions options;
  options.updates = 8;
  options.batch = 4;
  options.micro_batch = 3;
  options.schedule = {.base = 2e-3, .warmup = 2, .total = 8};
  options.seed = 11;
  options.seed_data = 11;
  options.draw.dropout = 0.1;
  options.progress_every = 1;
  options.validate_every = 3;
  return options;
}

// A run whose utterances are in memory, or at a source.
struct Rehearsal {
  Rehearsal(bool in_memory, const TrainOptions& options)
      : train(synthetic_utterances(10, 1)),
        heldout(synthetic_utterances(3, 77)),
        communicator(make_single_communicator()),
        model(tiny_config(), tiny_align(), options.seed) {
    source.add(train);
    source.add(heldout);
    if (!in_memory) {
      train = without_tensors(train);
      heldout = without_tensors(heldout);
    }
    const auto tell = [this](std::int64_t, const Metrics& metrics) -> Status {
      if (metrics.contains("loss")) {
        losses.push_back(metrics.at("loss"));
        told.push_back(metrics);
      } else {
        losses.push_back(metrics.at("validation_loss"));
      }
      return {};
    };
    const auto keep = [this](const TrainingState& state) -> Status {
      saved = state;
      for (auto& [name, tensor] : saved.tensors) tensor = tensor.clone();
      return {};
    };
    const auto stop = [this] { return stop_at > 0 && std::ssize(told) + 1 >= stop_at; };
    loop.emplace(model, train, heldout, *communicator, clock, options,
                 TrainHooks{.progress = tell, .checkpoint = keep, .stop_requested = stop},
                 in_memory ? nullptr : &source);
  }

  std::vector<Utterance> train, heldout;
  CopyingSource source;
  SystemClock clock;
  std::unique_ptr<Communicator> communicator;
  AcousticModel model;
  std::vector<double> losses;
  std::vector<Metrics> told;
  TrainingState saved;
  std::int64_t stop_at = -1;
  std::optional<TrainingLoop> loop;
};

void expect_same_weights(Rehearsal& ours, Rehearsal& theirs) {
  const NamedTensors a = ours.loop->last_weights();
  const NamedTensors b = theirs.loop->last_weights();
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(torch::equal(tensor, b.at(name))) << name;
}

TEST(LoopLoading, FromASourceItMakesTheSameBytesWhateverThreadsReadAhead) {
  Rehearsal in_memory(true, options_of_a_run());
  ASSERT_EQ(in_memory.loop->run().value(), Ending::kFinished);
  ASSERT_EQ(in_memory.losses.size(), 8U + 3U);
  for (const int threads : {1, 3}) {
    TrainOptions options = options_of_a_run();
    options.loading_threads = threads;
    options.loading_batches = 4 * threads;
    Rehearsal read(false, options);
    ASSERT_EQ(read.loop->run().value(), Ending::kFinished);
    EXPECT_EQ(read.losses, in_memory.losses);
    EXPECT_EQ(read.loop->validation_lines(), in_memory.loop->validation_lines());
    expect_same_weights(read, in_memory);
  }
}

TEST(LoopLoading, AStoppedRunGoesOnFromAnyUpdateWithTheSameBatches) {
  Rehearsal whole(true, options_of_a_run());
  ASSERT_EQ(whole.loop->run().value(), Ending::kFinished);
  Rehearsal first(false, options_of_a_run());
  first.stop_at = 5;
  ASSERT_EQ(first.loop->run().value(), Ending::kStopped);
  EXPECT_GT(first.saved.update, 2);
  EXPECT_LT(first.saved.update, 8);
  Rehearsal second(false, options_of_a_run());
  ASSERT_TRUE(second.loop->restore(first.saved).has_value());
  ASSERT_EQ(second.loop->run().value(), Ending::kFinished);
  expect_same_weights(second, whole);
}

TEST(LoopLoading, WhatIsDamagedEndsTheRunAtTheUpdateThatNeedsItWithTheSourcesError) {
  const TrainOptions options = options_of_a_run();
  Rehearsal run(false, options);
  BatchOrder order = order_of(options, run.train);
  // The first update that needs an utterance which none before it needed.
  std::set<std::size_t> seen;
  std::string broken;
  std::size_t update = 0;
  for (; update < 8 && broken.empty(); ++update) {
    for (const std::size_t i : order.batch(static_cast<std::int64_t>(update))) {
      if (seen.insert(i).second && update >= 2) broken = run.train[i].id;
    }
  }
  ASSERT_FALSE(broken.empty());
  run.source.break_item(broken);
  const auto ending = run.loop->run();
  ASSERT_FALSE(ending.has_value());
  EXPECT_EQ(ending.error().code, ErrorCode::kDamaged);
  EXPECT_NE(ending.error().message.find("wavs/" + broken + ".wav is cut off"), std::string::npos)
      << ending.error().message;
  EXPECT_EQ(run.told.size(), update - 1) << "the updates before it are made";
}

TEST(LoopLoading, AHeldOutUtteranceThatIsDamagedEndsTheRunToo) {
  Rehearsal run(false, options_of_a_run());
  run.source.break_item(run.heldout[1].id);
  const auto ending = run.loop->run();
  ASSERT_FALSE(ending.has_value());
  EXPECT_EQ(ending.error().code, ErrorCode::kDamaged);
}

TEST(LoopLoading, HowLongItWaitedForDataIsTold) {
  Rehearsal run(false, options_of_a_run());
  ASSERT_EQ(run.loop->run().value(), Ending::kFinished);
  for (const Metrics& metrics : run.told) {
    ASSERT_TRUE(metrics.contains("data_wait_seconds"));
    EXPECT_GE(metrics.at("data_wait_seconds"), 0);
    EXPECT_LE(metrics.at("data_wait_share"), 1);
  }
}

}  // namespace
}  // namespace strata::trainer

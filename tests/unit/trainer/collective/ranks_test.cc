// Run by `mpirun -n 2`: several ranks must give what one rank gives. Each rank computes the
// undivided run by itself and compares. Exit code 0 when all is well; no gtest, whose output of two
// ranks nobody could read. With the argument `error-on-rank-0` one rank alone fails, and mpirun
// must end with that rank's exit code, 2.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/unit/trainer/synthetic.h"
#include "trainer/train_program.h"
#include "trainer/training_loop.h"

namespace strata::trainer {
namespace {

constexpr double kTolerance = 1e-4;  // relative; sums over ranks round in another order

void expect(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

struct Outcome {
  std::vector<double> losses{};
  double validation = 0;
  Ending ending = Ending::kFinished;
  std::int64_t saved = -1;
  TrainingState state{};
};

constexpr std::size_t kNever = 1000;

TrainOptions six_updates() {
  TrainOptions options;
  options.updates = 6;
  options.batch = 5;  // shares of 2 and 3
  options.schedule = {.base = 2e-3, .warmup = 2, .total = 6};
  options.draw.dropout = 0.1;
  options.progress_every = 1;
  return options;
}

TrainingState copy_of(const TrainingState& state) {
  TrainingState copy = state;
  for (auto& [name, tensor] : copy.tensors) tensor = tensor.clone();
  return copy;
}

// Rank 1 wants to stop during the update of this number, from 0; where there is one rank, that one.
Outcome train(Communicator& communicator, std::size_t stop_on_rank_1_at,
              std::int64_t micro_batch = 0, const TrainingState* from = nullptr) {
  TrainOptions options = six_updates();
  options.micro_batch = micro_batch;
  const auto utterances = synthetic_utterances(10, 1);
  const auto heldout = synthetic_utterances(3, 77);
  AcousticModel model(tiny_config(), tiny_align(), 3);
  const SystemClock clock;
  Outcome outcome;
  TrainHooks hooks;
  hooks.progress = [&](std::int64_t, const Metrics& metrics) -> Status {
    if (metrics.contains("loss")) outcome.losses.push_back(metrics.at("loss"));
    if (metrics.contains("validation_loss")) outcome.validation = metrics.at("validation_loss");
    return {};
  };
  hooks.checkpoint = [&](const TrainingState& state) -> Status {
    outcome.saved = state.update;
    outcome.state = copy_of(state);
    return {};
  };
  hooks.stop_requested = [&] {
    return outcome.losses.size() == stop_on_rank_1_at &&
           communicator.rank() == communicator.size() - 1;
  };
  TrainingLoop loop(model, utterances, heldout, communicator, clock, options, std::move(hooks));
  if (from != nullptr) expect(loop.restore(*from).has_value(), "the state is taken over");
  const auto ending = loop.run();
  expect(ending.has_value(), "the run ends without an error");
  outcome.ending = *ending;
  return outcome;
}

// Every rank marks the utterances that it takes: together they are what one rank takes.
void expect_same_utterances(Communicator& communicator) {
  const auto utterances = synthetic_utterances(10, 1);
  BatchOrder order = order_of(six_updates(), utterances);
  for (std::int64_t update = 0; update < 6; ++update) {
    const auto batch = order.batch(update);
    std::vector<double> taken(utterances.size(), 0);
    for (const std::size_t i : share_of_rank(batch, communicator.rank(), communicator.size()))
      taken[i] += 1;
    expect(communicator.all_reduce_sum(std::span(taken)).has_value(), "marks are added");
    std::vector<double> alone(utterances.size(), 0);
    for (const std::size_t i : share_of_rank(batch, 0, 1)) alone[i] += 1;
    expect(taken == alone, "two ranks take the utterances of one");
  }
}

// `first` stopped at update 3; the rest on another number of ranks.
void expect_goes_on(const Outcome& first, Communicator& then, const Outcome& whole) {
  expect(first.ending == Ending::kStopped && first.saved == 3, "it stopped in between");
  const Outcome rest = train(then, kNever, 0, &first.state);
  expect(rest.losses.size() == 3, "it does what is left");
  for (std::size_t i = 0; i < 3; ++i) {
    expect(std::abs(rest.losses[i] - whole.losses[3 + i]) < kTolerance * whole.losses[3 + i],
           "on another number of ranks the losses stay");
  }
}

int run() {
  auto ranks = make_mpi_communicator();
  expect(ranks.has_value(), "MPI starts");
  Communicator& communicator = **ranks;
  expect(communicator.size() == 2, "started by mpirun -n 2");
  expect(!make_mpi_communicator().has_value(), "a second communicator is refused");

  std::vector<float> values(3'000'001, static_cast<float>(communicator.rank() + 1));
  expect(communicator.all_reduce_sum(std::span(values)).has_value(), "all-reduce works");
  expect(values.front() == 3 && values.back() == 3, "1 + 2 = 3, first and last");
  char word[] = {communicator.rank() == 0 ? 'a' : 'b'};
  expect(communicator.broadcast(std::span(word), 0).has_value() && word[0] == 'a',
         "broadcast gives rank 0's bytes");

  const auto alone = make_single_communicator();
  const Outcome together = train(communicator, kNever);
  const Outcome single = train(*alone, kNever);
  expect(together.losses.size() == 6 && single.losses.size() == 6, "six losses");
  for (std::size_t i = 0; i < 6; ++i) {
    if (communicator.rank() == 0)
      std::printf("update %zu: %.9g on two ranks, %.9g on one\n", i + 1, together.losses[i],
                  single.losses[i]);
    expect(std::abs(together.losses[i] - single.losses[i]) < kTolerance * single.losses[i],
           "two ranks give the losses of one");
  }
  expect(std::abs(together.validation - single.validation) < kTolerance * single.validation,
         "and its held-out loss");

  const Outcome stopped = train(communicator, 2);
  expect(stopped.ending == Ending::kStopped && stopped.losses.size() == 3 && stopped.saved == 3,
         "one rank's stop stops both at the same update");
  expect_same_utterances(communicator);
  expect_goes_on(stopped, *alone, single);
  expect_goes_on(train(*alone, 2), communicator, single);
  const Outcome rest = train(communicator, kNever, 0, &stopped.state);
  expect(std::equal(rest.losses.begin(), rest.losses.end(), together.losses.begin() + 3,
                    together.losses.end()) &&
             rest.validation == together.validation,
         "and on two they are those of two, bit for bit");
  const Outcome halved = train(communicator, 2, 1);
  expect(halved.ending == Ending::kStopped && halved.losses.size() == 2 && halved.saved == 2,
         "one rank's stop between its micro-batches leaves that update undone on both");
  expect(communicator.barrier().has_value(), "barrier works");
  return 0;
}

int run_with_an_error_on_rank_0() {
  auto ranks = make_mpi_communicator();
  expect(ranks.has_value(), "MPI starts");
  const auto utterances = synthetic_utterances(10, 1);
  const auto heldout = synthetic_utterances(3, 77);
  AcousticModel model(tiny_config(), tiny_align(), 3);
  const SystemClock clock;
  TrainHooks hooks;
  hooks.progress = [&](std::int64_t update, const Metrics&) -> Status {
    if ((*ranks)->rank() == 0 && update == 2)
      return fail(ErrorCode::kInvalid, "rank 0 cannot write its progress");
    return {};
  };
  TrainingLoop loop(model, utterances, heldout, **ranks, clock, six_updates(), std::move(hooks));
  const auto result = end_together(loop.run().map([](Ending) { return 0; }), **ranks);
  return result.value_or(1);
}

}  // namespace
}  // namespace strata::trainer

int main(int argc, char** argv) {
  const bool error = argc == 2 && std::string_view(argv[1]) == "error-on-rank-0";
  return error ? strata::trainer::run_with_an_error_on_rank_0() : strata::trainer::run();
}

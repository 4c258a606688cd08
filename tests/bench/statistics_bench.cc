// What the intervals of a sweep's table cost: paired differences of every cell to the baseline, for
// WER (errors over words), SIM and MOS, over the utterances of LibriSpeech-PC test-clean, drawn by
// utterance and by speaker; together, and each by itself.
//
//   strata-bench-statistics [--utterances 1127] [--cells 15] [--resamples 10000]
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>

#include "base/random.h"
#include "evaluator/core/statistics.h"

namespace strata::evaluator {
namespace {

constexpr std::size_t kSpeakers = 39;

// Three columns for each cell: differences to the first one.
std::vector<Estimand> made_up(std::size_t utterances, int cells) {
  Random random(5);
  std::vector<Share> baseline[3];
  std::vector<Estimand> columns;
  for (int cell = 0; cell <= cells; ++cell) {
    for (auto& column : baseline) {
      const bool words = &column == &baseline[0];
      std::vector<Share> shares;
      for (std::size_t i = 0; i < utterances; ++i) {
        const double errors = random.uniform() < 0.2 ? 1 + 3 * random.uniform() : 0;
        shares.push_back(
            words ? Share{.numerator = errors, .denominator = 5.0 + static_cast<double>(i % 30)}
                  : Share{.numerator = random.uniform()});
      }
      if (cell == 0) {
        column = std::move(shares);
      } else {
        columns.push_back({.shares = std::move(shares), .minus = column});
      }
    }
  }
  return columns;
}

double seconds_of(const auto& work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

int run(std::size_t utterances, int cells, int resamples) {
  const std::vector<Estimand> columns = made_up(utterances, cells);
  Blocks speakers(std::min(kSpeakers, utterances));
  for (std::size_t i = 0; i < utterances; ++i) speakers[i % speakers.size()].push_back(i);
  const BootstrapOptions options{.resamples = resamples};
  double sum = 0;  // of what is computed, so that all of it is
  const auto use = [&](const auto& result) { sum += result.value().front().mean; };
  const double together =
      seconds_of([&] { use(bootstrap_together(columns, each_alone(utterances), options)); });
  const double by_speaker =
      seconds_of([&] { use(bootstrap_together(columns, speakers, options)); });
  const double alone = seconds_of([&] {
    for (const Estimand& column : columns)
      use(bootstrap_together(std::span(&column, 1), each_alone(utterances), options));
  });
  std::printf("columns               %10zu\n", columns.size());
  std::printf("together, s           %10.3f\n", together);
  std::printf("by speaker, s         %10.3f\n", by_speaker);
  std::printf("each by itself, s     %10.3f\n", alone);
  std::printf("sum                   %10.6f\n", sum);
  return 0;
}

}  // namespace
}  // namespace strata::evaluator

int main(int argc, char** argv) {
  std::size_t utterances = 1127;
  int cells = 15;
  int resamples = 10'000;
  CLI::App app{"Seconds of paired bootstraps.", "strata-bench-statistics"};
  app.add_option("--utterances", utterances)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--cells", cells)->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--resamples", resamples)->capture_default_str()->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return strata::evaluator::run(utterances, cells, resamples);
}

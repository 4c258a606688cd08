// Word errors of many short pairs, from the two texts to the four counts, on one thread; and
// beside it, in turns, a peer on the same pairs, where a command for it is given. Processor time,
// without the start of a program and without reading the pairs.
//
//   strata-bench-wer [--pairs 10000] [--words 20] [--rounds 5]
//   strata-bench-wer --peer "VENV/bin/python tests/bench/peers/jiwer_peer.py"
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>

#include "base/files.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "evaluator/core/edit_distance.h"

namespace strata::bench {
namespace {

namespace fs = std::filesystem;
using evaluator::Counts;

struct Settings {
  std::size_t pairs = 10'000;
  std::size_t words = 20;
  int rounds = 5;
  std::string peer{};
  std::string folder{"."};
};

struct Pair {
  std::string reference{};
  std::string hypothesis{};
};

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Lengths about those of running English text, 4.6 letters in the mean.
std::vector<std::string> vocabulary(Random& random) {
  constexpr std::array<std::size_t, 16> kLengths{1, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 7, 8, 9, 10};
  std::vector<std::string> words(3'000);
  for (std::string& word : words) {
    for (std::size_t n = kLengths[random.bounded(kLengths.size())]; n > 0; --n)
      word += static_cast<char>('a' + random.bounded(26));
  }
  return words;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

// Up to four words deleted, inserted or replaced.
std::vector<Pair> make_pairs(const Settings& settings) {
  Random random(7);
  const auto words = vocabulary(random);
  const auto any = [&] { return words[random.bounded(words.size())]; };
  std::vector<Pair> pairs;
  for (std::size_t i = 0; i < settings.pairs; ++i) {
    std::vector<std::string> text;
    for (std::size_t w = 0; w < settings.words; ++w) text.push_back(any());
    Pair pair{joined(text), {}};
    for (std::uint64_t edits = random.bounded(5); edits > 0 && !text.empty(); --edits) {
      const auto at = text.begin() + static_cast<std::ptrdiff_t>(random.bounded(text.size()));
      switch (random.bounded(3)) {
        case 0: text.erase(at); break;
        case 1: text.insert(at, any()); break;
        default: *at = any();
      }
    }
    pair.hypothesis = joined(text);
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "strata-bench-wer: %s\n", why.c_str());
  std::exit(1);
}

struct Answer {
  double microseconds = 0;  // a pair
  std::string counts{};
};

Answer ours(const std::vector<Pair>& pairs) {
  constexpr int kPasses = 10;
  Counts total;
  const double began = cpu_seconds();
  for (int pass = 0; pass < kPasses; ++pass) {
    evaluator::ErrorCounter counter;
    total = {};
    for (const Pair& pair : pairs) total += counter.words(pair.reference, pair.hypothesis).value();
  }
  const double seconds = (cpu_seconds() - began) / kPasses;
  return {1e6 * seconds / static_cast<double>(pairs.size()),
          fmt::format("{} {} {} {}", total.substitutions, total.deletions, total.insertions,
                      total.hits)};
}

Answer theirs(const std::string& peer, const fs::path& file) {
  const auto told =
      run_captured({.argv = {"/bin/sh", "-c", fmt::format("exec {} {}", peer, file.string())}});
  if (!told) give_up(told.error().message);
  std::array<long long, 4> counts{};
  Answer answer;
  if (!told->exit.ok() ||
      std::sscanf(told->output.c_str(), "microseconds a pair %lf counts %lld %lld %lld %lld",
                  &answer.microseconds, &counts[0], &counts[1], &counts[2], &counts[3]) != 5) {
    give_up(fmt::format("the peer: {}: {}", told->exit.describe(), told->output));
  }
  answer.counts = fmt::format("{} {} {} {}", counts[0], counts[1], counts[2], counts[3]);
  return answer;
}

void measure(const Settings& settings) {
  const auto pairs = make_pairs(settings);
  const fs::path file = fs::path(settings.folder) / "strata-bench-wer.tsv";
  std::string table;
  for (const Pair& pair : pairs) table += pair.reference + "\t" + pair.hypothesis + "\n";
  if (auto written = write_file_atomic(file, table); !written) give_up(written.error().message);
  std::vector<double> own;
  std::vector<double> peer;
  std::vector<double> ratios;
  for (int i = 0; i < settings.rounds; ++i) {
    const Answer mine = ours(pairs);
    own.push_back(mine.microseconds);
    if (settings.peer.empty()) continue;
    const Answer other = theirs(settings.peer, file);
    if (other.counts != mine.counts)
      give_up(fmt::format("counts {} here, {} there", mine.counts, other.counts));
    peer.push_back(other.microseconds);
    ratios.push_back(other.microseconds / mine.microseconds);
    std::printf("%10.3f us %10.3f us\n", mine.microseconds, other.microseconds);
  }
  fs::remove(file);
  std::printf("medians of %d rounds of %zu pairs of %zu words\n", settings.rounds, settings.pairs,
              settings.words);
  std::printf("microseconds a pair       %10.3f\n", median(own));
  if (peer.empty()) return;
  std::printf("peer, microseconds a pair %10.3f\n", median(peer));
  std::printf("times the peer            %10.1f\n", median(ratios));
}

}  // namespace
}  // namespace strata::bench

int main(int argc, char** argv) {
  CLI::App app{"word errors of short pairs: processor time a pair"};
  strata::bench::Settings settings;
  app.add_option("--pairs", settings.pairs, "how many")->check(CLI::Range(1, 10'000'000));
  app.add_option("--words", settings.words, "in each reference")->check(CLI::Range(1, 100'000));
  app.add_option("--rounds", settings.rounds, "of which the median is taken")
      ->check(CLI::Range(1, 1'000));
  app.add_option("--peer", settings.peer, "a command that gets a file of pairs");
  app.add_option("--folder", settings.folder, "for that file")->check(CLI::ExistingDirectory);
  CLI11_PARSE(app, argc, argv);
  strata::bench::measure(settings);
}

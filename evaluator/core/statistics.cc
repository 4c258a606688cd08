#include "evaluator/core/statistics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

#include "base/assert.h"
#include "base/random.h"

namespace strata::evaluator {
namespace {

double divide(const Share& sum) {
  return sum.denominator > 0 ? sum.numerator / sum.denominator : sum.numerator;
}

Status check(std::span<const Share> shares, const Blocks& blocks, const BootstrapOptions& options) {
  if (blocks.empty())
    return fail(ErrorCode::kInvalid, "nothing to resample: there are no utterances");
  STRATA_CHECK_OK(check_options(options));
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (!std::isfinite(shares[i].numerator) || !std::isfinite(shares[i].denominator)) {
      return fail(ErrorCode::kInvalid, "the score of utterance {} is not a finite number", i);
    }
  }
  return {};
}

// Sums of each block: a drawn block then costs two additions whatever its size.
std::vector<Share> sum_blocks(std::span<const Share> shares, const Blocks& blocks) {
  std::vector<Share> sums;
  sums.reserve(blocks.size());
  for (const auto& block : blocks) {
    Share sum{.numerator = 0, .denominator = 0};
    for (const std::size_t i : block) {
      STRATA_ASSERT(i < shares.size());
      sum.numerator += shares[i].numerator;
      sum.denominator += shares[i].denominator;
    }
    sums.push_back(sum);
  }
  return sums;
}

Bootstrap summarize(std::vector<double> values, double confidence) {
  const auto n = static_cast<double>(values.size());
  Bootstrap result;
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double v : values) squares += (v - result.mean) * (v - result.mean);
  result.sd = std::sqrt(squares / n);
  result.above_zero =
      static_cast<double>(std::ranges::count_if(values, [](double v) { return v > 0; })) / n;
  result.below_zero =
      static_cast<double>(std::ranges::count_if(values, [](double v) { return v < 0; })) / n;
  std::ranges::sort(values);
  result.low = quantile(values, (1 - confidence) / 2);
  result.high = quantile(values, (1 + confidence) / 2);
  return result;
}

void add(Share& sum, const Share& part) {
  sum.numerator += part.numerator;
  sum.denominator += part.denominator;
}

// The sums of every block, side by side: a draw of a block is then the addition of one row, for all
// columns at once. Denominators that two columns share are there once.
class BlockRows {
 public:
  BlockRows(std::span<const Estimand> columns, const Blocks& blocks) : blocks_(blocks.size()) {
    for (const Estimand& column : columns) {
      places_.push_back({});
      places_.back().push_back(add(sum_blocks(column.shares, blocks)));
      if (!column.minus.empty()) places_.back().push_back(add(sum_blocks(column.minus, blocks)));
    }
    rows_.resize(blocks_ * columns_.size());
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      for (std::size_t b = 0; b < blocks_; ++b) rows_[b * columns_.size() + c] = columns_[c][b];
    }
    columns_of_rows_ = columns_.size();
    columns_.clear();
  }
  [[nodiscard]] std::size_t blocks() const { return blocks_; }
  [[nodiscard]] std::size_t width() const { return columns_of_rows_; }
  [[nodiscard]] const double* row(std::size_t block) const {
    return rows_.data() + block * columns_of_rows_;
  }
  // What a column of the caller comes to, by the sums of what was drawn.
  [[nodiscard]] double value(std::size_t column, const std::vector<double>& sums) const {
    const std::vector<Place>& places = places_[column];
    const auto of = [&](const Place& p) {
      return divide({.numerator = sums[p.numerator], .denominator = sums[p.denominator]});
    };
    return places.size() == 1 ? of(places[0]) : of(places[0]) - of(places[1]);
  }

 private:
  struct Place {  // in a row
    std::size_t numerator = 0;
    std::size_t denominator = 0;
  };
  Place add(const std::vector<Share>& sums) {
    std::vector<double> numerators;
    std::vector<double> denominators;
    for (const Share& sum : sums) {
      numerators.push_back(sum.numerator);
      denominators.push_back(sum.denominator);
    }
    columns_.push_back(std::move(numerators));
    const std::size_t numerator = columns_.size() - 1;
    const auto same = std::ranges::find(columns_, denominators);
    const auto denominator = static_cast<std::size_t>(same - columns_.begin());
    if (same == columns_.end()) columns_.push_back(std::move(denominators));
    return {.numerator = numerator, .denominator = denominator};
  }

  std::size_t blocks_;
  std::size_t columns_of_rows_ = 0;
  std::vector<std::vector<Place>> places_{};    // of each column of the caller
  std::vector<std::vector<double>> columns_{};  // while they are collected
  std::vector<double> rows_{};
};

// For each column its value in every resample.
std::vector<std::vector<double>> resampled(const BlockRows& rows, std::size_t columns,
                                           const BootstrapOptions& options) {
  std::vector<std::vector<double>> values(columns);
  for (auto& column : values) column.reserve(static_cast<std::size_t>(options.resamples));
  Random random(options.seed);
  std::vector<double> sums(rows.width());
  for (int r = 0; r < options.resamples; ++r) {
    std::ranges::fill(sums, 0.0);
    for (std::size_t draw = 0; draw < rows.blocks(); ++draw) {
      const double* row = rows.row(static_cast<std::size_t>(random.bounded(rows.blocks())));
      for (std::size_t c = 0; c < sums.size(); ++c) sums[c] += row[c];
    }
    for (std::size_t c = 0; c < columns; ++c) values[c].push_back(rows.value(c, sums));
  }
  return values;
}

// Regularized incomplete beta function by Lentz's continued fraction (Abramowitz and
// Stegun 26.5.8).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  constexpr int kTermsMax = 500;
  double c = 1;
  double d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double value = d;
  for (int m = 1; m <= kTermsMax; ++m) {
    const double m2 = 2.0 * m;
    for (const double term : {m * (b - m) * x / ((a + m2 - 1) * (a + m2)),
                              -(a + m) * (a + b + m) * x / ((a + m2) * (a + m2 + 1))}) {
      d = 1 + term * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      if (std::abs(c) < kTiny) c = kTiny;
      value *= d * c;
    }
    if (std::abs(d * c - 1) < 1e-16) break;
  }
  return value;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  // The fraction converges fast on one side of the mean only.
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                   : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

Status check_options(const BootstrapOptions& options) {
  if (options.resamples < 1 || options.resamples > kResamplesMax) {
    return fail(ErrorCode::kInvalid, "resamples must be from 1 to {}, not {}", kResamplesMax,
                options.resamples);
  }
  if (!(options.confidence > 0 && options.confidence < 1)) {
    return fail(ErrorCode::kInvalid, "confidence must lie between 0 and 1, not {}",
                options.confidence);
  }
  return {};
}

std::vector<Share> shares_of(std::span<const double> values) {
  std::vector<Share> shares;
  shares.reserve(values.size());
  for (const double v : values) shares.push_back({.numerator = v, .denominator = 1});
  return shares;
}

double ratio(std::span<const Share> shares) {
  Share sum{.numerator = 0, .denominator = 0};
  for (const Share& s : shares) add(sum, s);
  return divide(sum);
}

Blocks each_alone(std::size_t count) {
  Blocks blocks(count);
  for (std::size_t i = 0; i < count; ++i) blocks[i] = {i};
  return blocks;
}

Blocks blocks_by_label(std::span<const std::string> labels) {
  Blocks blocks;
  std::map<std::string, std::size_t, std::less<>> places;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto [place, fresh] = places.try_emplace(labels[i], blocks.size());
    if (fresh) blocks.emplace_back();
    blocks[place->second].push_back(i);
  }
  return blocks;
}

Result<std::vector<Bootstrap>> bootstrap_together(std::span<const Estimand> columns,
                                                  const Blocks& blocks,
                                                  const BootstrapOptions& options) {
  for (const Estimand& column : columns) {
    STRATA_ASSERT(column.shares.size() == columns.front().shares.size());
    STRATA_ASSERT(column.minus.empty() || column.minus.size() == column.shares.size());
    STRATA_CHECK_OK(check(column.shares, blocks, options));
    STRATA_CHECK_OK(check(column.minus, blocks, options));
  }
  std::vector<Bootstrap> results;
  for (auto& values : resampled(BlockRows(columns, blocks), columns.size(), options))
    results.push_back(summarize(std::move(values), options.confidence));
  return results;
}

Result<Bootstrap> bootstrap(std::span<const Share> shares, const Blocks& blocks,
                            const BootstrapOptions& options) {
  const Estimand column{.shares = {shares.begin(), shares.end()}};
  STRATA_TRY(const auto results, bootstrap_together(std::span(&column, 1), blocks, options));
  return results.front();
}

Result<Bootstrap> bootstrap_difference(std::span<const Share> a, std::span<const Share> b,
                                       const Blocks& blocks, const BootstrapOptions& options) {
  STRATA_ASSERT(a.size() == b.size());
  const Estimand column{.shares = {a.begin(), a.end()}, .minus = {b.begin(), b.end()}};
  STRATA_TRY(const auto results, bootstrap_together(std::span(&column, 1), blocks, options));
  return results.front();
}

Result<double> sign_flip_p(std::span<const double> differences, const BootstrapOptions& options) {
  STRATA_CHECK_OK(check(shares_of(differences), each_alone(differences.size()), options));
  const double observed = std::abs(std::accumulate(differences.begin(), differences.end(), 0.0));
  double scale = 0;
  for (const double d : differences) scale += std::abs(d);
  // Sums that differ by rounding only are ties, and ties count.
  const double threshold = observed - 1e-12 * scale;
  const auto flipped = [&](auto sign) {
    double sum = 0;
    for (std::size_t i = 0; i < differences.size(); ++i)
      sum += sign(i) ? -differences[i] : differences[i];
    return std::abs(sum) >= threshold;
  };
  if (differences.size() <= kSignFlipExactMax) {
    const std::uint64_t patterns = 1ULL << differences.size();
    std::uint64_t hits = 0;
    for (std::uint64_t mask = 0; mask < patterns; ++mask) {
      hits += flipped([&](std::size_t i) { return (mask >> i & 1U) != 0; }) ? 1U : 0U;
    }
    return static_cast<double>(hits) / static_cast<double>(patterns);
  }
  Random random(options.seed);
  std::int64_t hits = 0;
  for (int r = 0; r < options.resamples; ++r) {
    hits += flipped([&](std::size_t) { return random.bounded(2) != 0; }) ? 1 : 0;
  }
  return static_cast<double>(1 + hits) / static_cast<double>(1 + options.resamples);
}

std::vector<double> holm(std::span<const double> p_values) {
  std::vector<std::size_t> order(p_values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return p_values[a] < p_values[b]; });
  std::vector<double> adjusted(p_values.size());
  double worst = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    worst = std::max(worst, static_cast<double>(order.size() - rank) * p_values[order[rank]]);
    adjusted[order[rank]] = std::min(1.0, worst);
  }
  return adjusted;
}

Moments moments(std::span<const double> values) {
  Moments m{.count = values.size()};
  if (values.empty()) return m;
  m.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  double squares = 0;
  for (const double v : values) squares += (v - m.mean) * (v - m.mean);
  if (values.size() > 1) m.sd = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return m;
}

double student_t_p(double t, double degrees) {
  STRATA_ASSERT(degrees > 0);
  return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
}

Interval student_t_interval(const Moments& m, double confidence) {
  STRATA_ASSERT(confidence > 0 && confidence < 1);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (m.count < 2) return {-kInfinity, kInfinity};
  const auto degrees = static_cast<double>(m.count - 1);
  // The p-value falls with t: bisect in 1/(1+t), which keeps the long tails of few degrees in
  // range.
  double low = 0;
  double high = 1;
  for (int i = 0; i < 200; ++i) {
    const double u = (low + high) / 2;
    (student_t_p(1 / u - 1, degrees) < 1 - confidence ? low : high) = u;
  }
  const double half = (1 / high - 1) * m.sd / std::sqrt(static_cast<double>(m.count));
  return {m.mean - half, m.mean + half};
}

double quantile(std::span<const double> sorted, double q) {
  STRATA_ASSERT(!sorted.empty());
  STRATA_ASSERT(q >= 0 && q <= 1);
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const double part = position - static_cast<double>(below);
  if (below + 1 >= sorted.size()) return sorted.back();
  return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

}  // namespace strata::evaluator

#include "evaluator/core/convergence.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/assert.h"
#include "base/random.h"

namespace strata::evaluator {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The losses at one update, each as often as its utterance was drawn.
double weighted_mean(const std::vector<double>& losses, const std::vector<double>& weights) {
  double sum = 0;
  for (std::size_t i = 0; i < losses.size(); ++i) sum += weights[i] * losses[i];
  return sum / static_cast<double>(losses.size());
}

// On a line, so that the order of crossings that were not seen is known too.
struct Place {
  double at = 0;
  bool in_hole = false;
  [[nodiscard]] bool seen() const { return !in_hole && !std::isinf(at); }
};

// `holes`: of every point of the curve.
Place place_of(const Crossing& crossing, const std::vector<bool>& holes) {
  switch (crossing.where) {
    case Crossing::Where::kBetween:
      return {.at = crossing.update, .in_hole = holes[crossing.point]};
    case Crossing::Where::kBefore: return {.at = -kInfinity};
    case Crossing::Where::kNever: return {.at = kInfinity};
  }
  return {.at = kInfinity};
}

// The q-quantile, unless a place that was not seen has a part in it. REQUIRES: sorted.
std::optional<double> seen_quantile(const std::vector<Place>& places, double q) {
  const double position = q * static_cast<double>(places.size() - 1);
  const Place& below = places[static_cast<std::size_t>(std::floor(position))];
  const Place& above = places[static_cast<std::size_t>(std::ceil(position))];
  if (!below.seen() || !above.seen()) return std::nullopt;
  return below.at + (position - std::floor(position)) * (above.at - below.at);
}

void add_interval(Convergence& result, const LossCurve& curve, double target,
                  const BootstrapOptions& options) {
  const std::size_t count = curve.ids.size();
  std::vector<bool> holes(curve.updates.size());
  for (std::size_t k = 1; k < holes.size(); ++k) holes[k] = curve.is_hole(k);
  std::vector<Place> places;
  std::vector<double> weights(count);
  std::vector<double> means(curve.updates.size());
  Random random(options.seed);
  for (int r = 0; r < options.resamples; ++r) {
    std::ranges::fill(weights, 0.0);
    for (std::size_t draw = 0; draw < count; ++draw)
      weights[static_cast<std::size_t>(random.bounded(count))] += 1;
    for (std::size_t k = 0; k < means.size(); ++k)
      means[k] = weighted_mean(curve.losses[k], weights);
    places.push_back(place_of(first_reached(curve.updates, means, target), holes));
  }
  std::ranges::sort(places, {}, &Place::at);
  const auto share_of = [&](const auto& value, auto member) {
    return static_cast<double>(std::ranges::count(places, value, member)) /
           static_cast<double>(places.size());
  };
  result.resamples_before = share_of(-kInfinity, &Place::at);
  result.resamples_never = share_of(kInfinity, &Place::at);
  result.resamples_in_hole = share_of(true, &Place::in_hole);
  result.low = seen_quantile(places, (1 - options.confidence) / 2);
  result.high = seen_quantile(places, (1 + options.confidence) / 2);
}

// Between a = (u0, m0) above the target and b = (u1, m1) at or below it the curve is at the target
// at u0 + (u1 - u0) (m0 - target) / (m0 - m1). An utterance whose losses are off the means by d0
// and d1 pulls by the derivative along (d0, d1).
void add_items(Convergence& result, const LossCurve& curve, const std::vector<double>& means,
               double target) {
  const std::size_t b = result.mean.point;
  const std::size_t a = b - 1;
  const double fall = means[a] - means[b];
  const auto length = static_cast<double>(curve.updates[b] - curve.updates[a]);
  const double by_first = length * (target - means[b]) / (fall * fall);
  const double by_second = length * (means[a] - target) / (fall * fall);
  for (std::size_t i = 0; i < curve.ids.size(); ++i) {
    result.items[curve.ids[i]] = result.mean.update + by_first * (curve.losses[a][i] - means[a]) +
                                 by_second * (curve.losses[b][i] - means[b]);
  }
}

void add_each_alone(Convergence& result, const LossCurve& curve, double target) {
  std::vector<double> own(curve.updates.size());
  for (std::size_t i = 0; i < curve.ids.size(); ++i) {
    for (std::size_t k = 0; k < own.size(); ++k) own[k] = curve.losses[k][i];
    switch (first_reached(curve.updates, own, target).where) {
      case Crossing::Where::kBetween: ++result.utterances_between; break;
      case Crossing::Where::kBefore: ++result.utterances_before; break;
      case Crossing::Where::kNever: ++result.utterances_never; break;
    }
  }
}

// Of a target that was reached in a hole.
std::string hole_in_words(const Convergence& found, double target) {
  const std::string why =
      found.usual_gap > 0
          ? fmt::format("while other measurements are {:.0f} apart", found.usual_gap)
          : std::string("with too few measurements on the way to be a curve");
  return fmt::format(
      "reached {} within {} updates and not by {}; nothing was measured between these two, {}, so "
      "there is no number: train with a train.validate_every that is short against it",
      target, *found.reached_by, *found.above_at, why);
}

}  // namespace

const char* name_of(ValidationLoss::Which which) {
  switch (which) {
    case ValidationLoss::Which::kEarly: return "early";
    case ValidationLoss::Which::kPeriodic: return "periodic";
    case ValidationLoss::Which::kLast: return "last";
  }
  return "";
}

std::vector<double> LossCurve::means() const {
  const std::vector<double> once(ids.size(), 1.0);
  std::vector<double> means;
  for (const auto& point : losses) means.push_back(weighted_mean(point, once));
  return means;
}

double LossCurve::usual_gap() const {
  if (!periodic || updates.size() < 3) return 0;
  std::vector<double> gaps;
  for (std::size_t k = 1; k < updates.size(); ++k)
    gaps.push_back(static_cast<double>(updates[k] - updates[k - 1]));
  std::ranges::sort(gaps);
  if (gaps.size() == 2) return gaps.front();
  return (gaps[(gaps.size() - 1) / 2] + gaps[gaps.size() / 2]) / 2;
}

bool LossCurve::is_hole(std::size_t point) const {
  STRATA_ASSERT(point > 0 && point < updates.size());
  return static_cast<double>(updates[point] - updates[point - 1]) > kHoleGaps * usual_gap();
}

Result<LossCurve> loss_curve(std::span<const ValidationLoss> lines) {
  std::map<std::int64_t, std::map<std::string, double>> points;
  std::map<std::string, std::int64_t> seen_at;  // of every utterance an update that has it
  for (const ValidationLoss& line : lines) {
    const auto [at, fresh] = points[line.update].try_emplace(line.id, line.loss);
    if (!fresh && at->second != line.loss) {
      return fail(ErrorCode::kInvalid, "validation: update {} has two losses of utterance \"{}\"",
                  line.update, line.id);
    }
    seen_at.try_emplace(line.id, line.update);
  }
  LossCurve curve;
  curve.periodic = std::ranges::any_of(
      lines, [](const auto& line) { return line.which == ValidationLoss::Which::kPeriodic; });
  for (const auto& [id, update] : seen_at) curve.ids.push_back(id);
  for (const auto& [update, losses] : points) {
    std::vector<double> values;
    for (const auto& [id, elsewhere] : seen_at) {
      const auto found = losses.find(id);
      if (found == losses.end()) {
        return fail(ErrorCode::kInvalid,
                    "validation: update {} lacks utterance \"{}\", which update {} has: means "
                    "over different utterances are no curve",
                    update, id, elsewhere);
      }
      values.push_back(found->second);
    }
    curve.updates.push_back(update);
    curve.losses.push_back(std::move(values));
  }
  return curve;
}

Crossing first_reached(std::span<const std::int64_t> updates, std::span<const double> losses,
                       double target) {
  STRATA_ASSERT(!updates.empty());
  STRATA_ASSERT(updates.size() == losses.size());
  if (losses.front() <= target) {
    return {.where = Crossing::Where::kBefore, .update = static_cast<double>(updates.front())};
  }
  for (std::size_t k = 1; k < losses.size(); ++k) {
    if (losses[k] > target) continue;
    const auto begin = static_cast<double>(updates[k - 1]);
    const auto end = static_cast<double>(updates[k]);
    const double share = (losses[k - 1] - target) / (losses[k - 1] - losses[k]);
    return {
        .where = Crossing::Where::kBetween, .update = begin + share * (end - begin), .point = k};
  }
  return {.where = Crossing::Where::kNever, .update = static_cast<double>(updates.back())};
}

std::string Convergence::in_words(double target) const {
  switch (mean.where) {
    case Crossing::Where::kBetween:
      if (in_hole) return hole_in_words(*this, target);
      return fmt::format("reached {} after {:.0f} updates, between the measurements at {} and {}",
                         target, mean.update, *above_at, *reached_by);
    case Crossing::Where::kBefore:
      return fmt::format(
          "reached {} before the first measurement, at update {:.0f}: measure more often", target,
          mean.update);
    case Crossing::Where::kNever:
      return fmt::format(
          "never reached {} in {:.0f} updates; the least loss was {:.6g}, at update {}", target,
          mean.update, least_loss, least_at);
  }
  return "";
}

Result<Convergence> convergence(const LossCurve& curve, double target,
                                const BootstrapOptions& options) {
  STRATA_ASSERT(!curve.updates.empty() && !curve.ids.empty());
  STRATA_CHECK_OK(check_options(options));
  const std::vector<double> means = curve.means();
  const auto least = std::ranges::min_element(means);
  Convergence result{.mean = first_reached(curve.updates, means, target),
                     .least_loss = *least,
                     .least_at = curve.updates[static_cast<std::size_t>(least - means.begin())]};
  result.usual_gap = curve.usual_gap();
  switch (result.mean.where) {
    case Crossing::Where::kBetween:
      result.above_at = curve.updates[result.mean.point - 1];
      result.reached_by = curve.updates[result.mean.point];
      result.in_hole = curve.is_hole(result.mean.point);
      break;
    case Crossing::Where::kBefore: result.reached_by = curve.updates.front(); break;
    case Crossing::Where::kNever: result.above_at = curve.updates.back(); break;
  }
  add_interval(result, curve, target, options);
  add_each_alone(result, curve, target);
  if (result.has_value()) add_items(result, curve, means, target);
  return result;
}

}  // namespace strata::evaluator

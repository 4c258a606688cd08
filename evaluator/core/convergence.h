// How fast a run learns: after how many updates its held-out loss reaches a target. Pure.
//
// The curve is the mean over the held-out utterances at each measured update, with straight lines
// between; the answer is the first place at which it is at or below the target. That place may lie
// before the first measurement, or the run may have ended above the target: then there is a bound
// and no number. So there is where the two measurements around it are far apart: losses are convex,
// and a straight line over most of a training is not where they go.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "evaluator/core/statistics.h"

namespace strata::evaluator {

// What the name of a score ends in that is only a bound of a number which was not seen
// (docs/stages.md): "updates_to_target/not_within" 200000 says that it is more,
// "updates_to_target/within" 100 that it is no more.
inline constexpr const char* kNotWithin = "/not_within";
inline constexpr const char* kWithin = "/within";

// Two measurements that are more than so many median gaps apart have a hole between them.
inline constexpr double kHoleGaps = 2;

// Held-out flow-matching losses of one utterance: with its own text and with the text of another
// one.
struct ValidationLoss {
  enum class Which { kEarly, kPeriodic, kLast };

  std::string id{};
  Which which = Which::kEarly;
  std::int64_t update = 0;
  double loss = 0;
  std::optional<double> loss_permuted{};
};
[[nodiscard]] const char* name_of(ValidationLoss::Which which);  // "early", "periodic", "last"

struct LossCurve {
  std::vector<std::int64_t> updates{};        // ascending
  std::vector<std::string> ids{};             // of the utterances, ascending
  std::vector<std::vector<double>> losses{};  // for each update, those of all utterances
  bool periodic = false;                      // some were measured on the way

  [[nodiscard]] std::vector<double> means() const;
  // The median distance of neighbouring measurements, of two distances the shorter: their median
  // would hide any hole. 0 where fewer than three measurements, or none on the way, tell of no
  // interval.
  [[nodiscard]] double usual_gap() const;
  // Whether the target, first reached at that point, was reached in a hole. REQUIRES: point > 0.
  [[nodiscard]] bool is_hole(std::size_t point) const;
};
// All lines of one update are one point, whatever they were measured for. kInvalid where an update
// lacks an utterance that another one has, or has two losses of it that differ.
[[nodiscard]] Result<LossCurve> loss_curve(std::span<const ValidationLoss> lines);

struct Crossing {
  enum class Where { kBetween, kBefore, kNever };

  Where where = Where::kNever;
  // kBetween: where the target is reached. kBefore: the first measured update, by which it was.
  // kNever: the last one, by which it was not.
  double update = 0;
  std::size_t point = 0;  // kBetween: the first point at or below the target; never the first one
};
// REQUIRES: as many losses as updates, at least one.
[[nodiscard]] Crossing first_reached(std::span<const std::int64_t> updates,
                                     std::span<const double> losses, double target);

struct Convergence {
  Crossing mean{};  // of the mean curve
  // Of two measurements the one above the target and the later one that is not; one of them only
  // where the place was not seen.
  std::optional<std::int64_t> above_at{}, reached_by{};
  bool in_hole = false;  // kBetween, but only reached_by is known of it
  double usual_gap = 0;  // of the curve
  // Of a number only (has_value): for each utterance the answer plus its pull on it, to first order
  // in the two means between which it lies. Their mean is the answer exactly, and resampling them
  // is resampling utterances, as long as the curve is straight about there: so runs can be paired.
  std::map<std::string, double> items{};
  // Percentile interval of the crossing over resampled utterances; an end that lies before the
  // first or past the last measurement, or in a hole, is open.
  std::optional<double> low{}, high{};
  double resamples_before = 0;  // shares of the resamples whose crossing was not seen
  double resamples_never = 0;
  double resamples_in_hole = 0;
  // Every utterance by itself, against the same target.
  std::size_t utterances_before = 0, utterances_between = 0, utterances_never = 0;
  double least_loss = 0;  // of the mean curve
  std::int64_t least_at = 0;

  // Whether mean.update is where the target is reached; else the run has a bound only.
  [[nodiscard]] bool has_value() const {
    return mean.where == Crossing::Where::kBetween && !in_hole;
  }
  // "reached 0.7 after 61250 updates, between ...": for people.
  [[nodiscard]] std::string in_words(double target) const;
};
// REQUIRES: the curve has a point and an utterance.
[[nodiscard]] Result<Convergence> convergence(const LossCurve& curve, double target,
                                              const BootstrapOptions& options);

}  // namespace strata::evaluator

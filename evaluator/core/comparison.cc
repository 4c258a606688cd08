#include "evaluator/core/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace strata::evaluator {
namespace {

Status check_alike(const System& a, const System& b) {
  if (a.protocol != b.protocol) {
    return fail(
        ErrorCode::kInvalid, "A was scored by the protocol {} and B by {}: score one of them again",
        a.protocol.empty() ? "(none)" : a.protocol, b.protocol.empty() ? "(none)" : b.protocol);
  }
  for (const auto& [id, text] : a.references) {
    const auto other = b.references.find(id);
    if (other == b.references.end() || other->second == text) continue;
    return fail(ErrorCode::kInvalid,
                "the utterance \"{}\" has the reference \"{}\" in A and \"{}\" in B: they are of "
                "different lists",
                id, text, other->second);
  }
  for (const auto& [id, speaker] : a.speakers) {
    const auto other = b.speakers.find(id);
    if (other == b.speakers.end() || other->second == speaker) continue;
    return fail(
        ErrorCode::kInvalid,
        "the utterance \"{}\" is by \"{}\" in A and by \"{}\" in B: they are of different lists",
        id, speaker, other->second);
  }
  return {};
}

Status check_alike(const std::string& name, const ScoreColumn& a, const ScoreColumn& b) {
  if (a.judge != b.judge) {
    return fail(ErrorCode::kInvalid,
                "{} is {}'s in A and {}'s in B: figures of two judges have no difference", name,
                a.judge, b.judge);
  }
  if (a.unit == b.unit && a.better == b.better) return {};
  return fail(
      ErrorCode::kInvalid,
      "{} is in \"{}\", better \"{}\", in A and in \"{}\", better \"{}\", in B: these are two "
      "scores of one name",
      name, a.unit, a.better, b.unit, b.better);
}

std::vector<std::string> without(const std::set<std::string>& ids,
                                 const std::set<std::string>& others) {
  std::vector<std::string> rest;
  std::ranges::set_difference(ids, others, std::back_inserter(rest));
  return rest;
}

std::set<std::string> utterances_of(const System& system) {
  std::set<std::string> ids;
  for (const auto& [name, score] : system.scores) {
    for (const auto& [id, share] : score.items) ids.insert(id);
  }
  return ids;
}

// What both have of one score, in the order of the utterances' names.
struct Pairs {
  std::vector<Share> a{};
  std::vector<Share> b{};
  std::vector<std::string> speakers{};  // empty where one is not known
  // B minus A of each: of counts the numerators, for these are what the tests are of.
  std::vector<double> differences{};
};

Pairs pairs_of(const ScoreColumn& a, const ScoreColumn& b, const System& of_a) {
  Pairs pairs;
  bool all_known = true;
  for (const auto& [id, share] : a.items) {
    const auto other = b.items.find(id);
    if (other == b.items.end()) continue;
    pairs.a.push_back(share);
    pairs.b.push_back(other->second);
    pairs.differences.push_back(other->second.numerator - share.numerator);
    const auto speaker = of_a.speakers.find(id);
    all_known = all_known && speaker != of_a.speakers.end();
    if (all_known) pairs.speakers.push_back(speaker->second);
  }
  if (!all_known) pairs.speakers.clear();
  return pairs;
}

Result<ComparedScore> compare_score(const std::string& name, const ScoreColumn& a,
                                    const Pairs& pairs, const BootstrapOptions& options) {
  ComparedScore row{.name = name,
                    .unit = a.unit,
                    .better = a.better,
                    .utterances = pairs.a.size(),
                    .a = ratio(pairs.a),
                    .b = ratio(pairs.b)};
  row.difference = row.b - row.a;
  STRATA_TRY(row.by_utterance,
             bootstrap_difference(pairs.b, pairs.a, each_alone(pairs.a.size()), options));
  if (!pairs.speakers.empty()) {
    const Blocks blocks = blocks_by_label(pairs.speakers);
    row.speakers = blocks.size();
    if (blocks.size() >= 2) {
      STRATA_TRY(row.by_speaker, bootstrap_difference(pairs.b, pairs.a, blocks, options));
    }
  }
  if (row.better == "lower") row.b_is_better = row.by_utterance.below_zero;
  if (row.better == "higher") row.b_is_better = row.by_utterance.above_zero;
  STRATA_TRY(row.sign_flip_p, sign_flip_p(pairs.differences, options));
  row.wilcoxon = wilcoxon(pairs.differences);
  row.sign = sign_test(pairs.differences);
  row.paired_t = paired_t(pairs.differences);
  if (a.counts) row.matched_pairs = matched_pairs(pairs.differences);
  return row;
}

Verdict verdict_of(const ComparedScore& row) {
  if (row.utterances < kComparedUtterancesMin) return Verdict::kTooFew;
  const bool excludes_zero = row.by_utterance.low > 0 || row.by_utterance.high < 0;
  if (row.sign_flip_p >= kComparedLevel || !excludes_zero) return Verdict::kInsideNoise;
  if (row.sign_flip_p_holm >= kComparedLevel) return Verdict::kNotAfterHolm;
  if (!row.b_is_better) return Verdict::kDiffers;
  return (row.difference < 0) == (row.better == "lower") ? Verdict::kBetter : Verdict::kWorse;
}

}  // namespace

std::string_view in_words(Verdict verdict) {
  switch (verdict) {
    case Verdict::kBetter: return "B is better";
    case Verdict::kWorse: return "B is worse";
    case Verdict::kDiffers: return "B differs";
    case Verdict::kInsideNoise: return "inside the noise";
    case Verdict::kNotAfterHolm: return "not after Holm";
    case Verdict::kTooFew: return "too few utterances";
  }
  return "";
}

Result<Comparison> compare_systems(const System& a, const System& b,
                                   const BootstrapOptions& options) {
  STRATA_CHECK_OK(check_alike(a, b));
  const std::set<std::string> in_a = utterances_of(a);
  const std::set<std::string> in_b = utterances_of(b);
  Comparison comparison{.only_in_a = without(in_a, in_b), .only_in_b = without(in_b, in_a)};
  std::vector<double> p_values;
  for (const auto& [name, column] : a.scores) {
    const auto other = b.scores.find(name);
    if (other == b.scores.end()) {
      comparison.scores_of_one.push_back(name);
      continue;
    }
    STRATA_CHECK_OK(check_alike(name, column, other->second));
    const Pairs pairs = pairs_of(column, other->second, a);
    if (pairs.a.empty()) continue;
    STRATA_TRY(ComparedScore row, compare_score(name, column, pairs, options));
    p_values.push_back(row.sign_flip_p);
    comparison.scores.push_back(std::move(row));
  }
  for (const auto& [name, column] : b.scores) {
    if (!a.scores.contains(name)) comparison.scores_of_one.push_back(name);
  }
  if (comparison.scores.empty()) {
    return fail(
        ErrorCode::kInvalid,
        "A and B have no score of an utterance in common: A has {} utterances, B {}, and {} "
        "of them are the same",
        in_a.size(), in_b.size(), in_a.size() - comparison.only_in_a.size());
  }
  const std::vector<double> adjusted = holm(p_values);
  for (std::size_t i = 0; i < adjusted.size(); ++i) {
    comparison.scores[i].sign_flip_p_holm = adjusted[i];
    comparison.scores[i].verdict = verdict_of(comparison.scores[i]);
  }
  return comparison;
}

}  // namespace strata::evaluator

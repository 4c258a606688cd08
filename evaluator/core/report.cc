#include "evaluator/core/report.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <tuple>

#include "base/fields.h"

namespace strata::evaluator {
namespace {

struct Measure {
  const char* name;
  const char* unit;
  const char* better;
  const char* role;
  std::optional<double> (*of)(const UtteranceScore&);
};

// In the order of the report.
const std::vector<Measure>& all_measures() {
  static const std::vector<Measure> kMeasures{
      {"wer", "fraction", "lower", "asr",
       [](const UtteranceScore& u) {
         return u.hypothesis ? std::optional(u.wer()) : std::nullopt;
       }},
      {"sim_o", "cosine", "higher", "speaker", [](const UtteranceScore& u) { return u.sim_o; }},
      {"mos", "points", "higher", "mos", [](const UtteranceScore& u) { return u.mos; }}};
  return kMeasures;
}

// The utterances of one set that have one measure, as parallel columns.
struct Column {
  std::vector<std::string> ids{};
  std::vector<std::string> speakers{};
  std::vector<double> values{};
  std::vector<Share> words{};  // errors over reference words, for the corpus WER
};

Column column_of(const std::vector<const UtteranceScore*>& utterances, const Measure& measure) {
  Column column;
  for (const UtteranceScore* u : utterances) {
    const auto value = measure.of(*u);
    if (!value) continue;
    column.ids.push_back(u->id);
    column.speakers.push_back(u->speaker);
    column.values.push_back(*value);
    column.words.push_back({.numerator = static_cast<double>(u->words.errors()),
                            .denominator = static_cast<double>(u->words.reference_length())});
  }
  return column;
}

// A mean WER as the protocol's own script prints it: numpy rounds by multiplying and dividing, and
// Python writes as few digits as tell the number, but one behind the point.
std::string printed_mean(Protocol protocol, double mean) {
  const bool percent = protocol == Protocol::kSeedTts;  // round(mean * 100, 3); else round(mean, 5)
  const double scale = percent ? 1e3 : 1e5;
  const double rounded = std::nearbyint((percent ? 100 * mean : mean) * scale) / scale;
  std::string text = fmt::format("{}", rounded);
  if (text.find_first_not_of("0123456789") == std::string::npos) text += ".0";
  return text;
}

Value interval_value(const Bootstrap& b) { return Array{b.low, b.high}; }

// Value with its intervals over utterances and over speakers.
struct Estimate {
  double value = 0;
  Bootstrap by_utterance{};
  std::size_t speakers = 0;
  std::optional<Bootstrap> by_speaker{};  // of one speaker there is nothing to draw
};

Result<Estimate> estimate(const std::vector<Share>& shares,
                          const std::vector<std::string>& speakers,
                          const BootstrapOptions& options) {
  Estimate e{.value = ratio(shares)};
  STRATA_TRY(e.by_utterance, bootstrap(shares, each_alone(shares.size()), options));
  const Blocks blocks = blocks_by_label(speakers);
  e.speakers = blocks.size();
  if (e.speakers >= 2) {
    STRATA_TRY(e.by_speaker, bootstrap(shares, blocks, options));
  }
  return e;
}

Object estimate_value(const Estimate& e) {
  Object value{{"value", e.value},
               {"interval_by_utterance", interval_value(e.by_utterance)},
               {"speakers", static_cast<std::int64_t>(e.speakers)}};
  if (e.by_speaker) value.emplace("interval_by_speaker", interval_value(*e.by_speaker));
  return value;
}

Score score_of(const std::string& name, const Measure& measure, const Estimate& e,
               const Column& column, const std::string& judge) {
  return {.name = name,
          .value = e.value,
          .unit = measure.unit,
          .interval = Interval{.low = e.by_utterance.low, .high = e.by_utterance.high},
          .count = column.values.size(),
          .better = measure.better,
          .judge = judge};
}

Value counts_value(const Counts& c, const char* reference) {
  return Object{{"substitutions", c.substitutions},
                {"deletions", c.deletions},
                {"insertions", c.insertions},
                {"hits", c.hits},
                {reference, c.reference_length()}};
}

Value by_speaker_value(const std::vector<const UtteranceScore*>& utterances) {
  std::map<std::string, std::vector<const UtteranceScore*>> groups;
  for (const UtteranceScore* u : utterances) groups[u->speaker].push_back(u);
  Object table;
  for (const auto& [speaker, members] : groups) {
    Object row{{"utterances", static_cast<std::int64_t>(members.size())}};
    for (const Measure& measure : all_measures()) {
      const Column column = column_of(members, measure);
      if (column.values.empty()) continue;
      const Moments m = moments(column.values);
      row[measure.name] = Object{{"mean", m.mean}, {"sd", m.sd}};
      if (std::string_view(measure.name) == "wer") row["wer_corpus"] = ratio(column.words);
    }
    table[speaker] = std::move(row);
  }
  return table;
}

class Builder {
 public:
  explicit Builder(const ReportInput& input) : input_(input) {
    for (const UtteranceScore& u : input.utterances) sets_[u.set].push_back(&u);
  }

  Status add_sets() {
    Object sets;
    // The set without suffix first, then by name.
    if (sets_.contains(kGeneratedSet)) {
      STRATA_TRY(sets[kGeneratedSet], set_value(kGeneratedSet));
    }
    for (const auto& [name, members] : sets_) {
      if (name == kGeneratedSet) continue;
      STRATA_TRY(sets[name], set_value(name));
    }
    report_["sets"] = std::move(sets);
    return {};
  }

  // Other sets minus the generated one (minus the recordings where nothing is generated), over the
  // ids that both have: the same draws for both.
  Status add_comparisons() {
    auto base = sets_.find(kGeneratedSet);
    if (base == sets_.end()) base = sets_.find(kRecordingsSet);
    if (base == sets_.end()) return {};
    Object comparisons;
    for (const auto& [name, members] : sets_) {
      if (name == base->first) continue;
      Object rows;
      for (const Measure& measure : all_measures()) {
        STRATA_TRY(Value row,
                   compare(column_of(members, measure), column_of(base->second, measure)));
        if (!row.is_null()) rows[measure.name] = std::move(row);
      }
      if (!rows.empty()) comparisons[name] = std::move(rows);
    }
    if (!comparisons.empty()) report_["minus_" + base->first] = std::move(comparisons);
    return {};
  }

  Status add_validation();

  Report finish() {
    report_["report"] = 1;
    report_["protocol"] =
        Object{{"name", input_.protocol.name}, {"version", input_.protocol.version}};
    report_["aggregation"] =
        "wer: mean of the utterances' rates; wer_corpus: all errors over all reference words; "
        "deletion_rate, insertion_rate: all of them over all reference words; cer_corpus: all "
        "errors over all reference characters; sim_o, mos: mean of the utterances";
    report_["list_sha256"] = input_.list_sha256;
    report_["utterances"] = static_cast<std::int64_t>(input_.utterances.size());
    report_["bootstrap"] = Object{{"resamples", input_.bootstrap.resamples},
                                  {"seed", input_.bootstrap.seed},
                                  {"confidence", input_.bootstrap.confidence},
                                  {"interval", "percentile"}};
    report_["environment"] = input_.environment;
    Object judges;
    for (const JudgeInfo& j : input_.judges) {
      judges[j.role] = Object{{"name", j.name},
                              {"version", j.version},
                              {"family", j.family},
                              {"identity", j.identity},
                              {"exporter_version", j.exporter_version},
                              {"torch_version", j.torch_version},
                              {"interface", j.interface},
                              {"settings", j.settings}};
    }
    report_["judges"] = std::move(judges);
    return {.scores = std::move(scores_), .summary = std::move(report_)};
  }

 private:
  [[nodiscard]] std::string judge_label(std::string_view role) const {
    const auto found = std::ranges::find(input_.judges, role, &JudgeInfo::role);
    return found == input_.judges.end() ? "" : found->label();
  }

  Result<Value> set_value(const std::string& set) {
    const auto& members = sets_.at(set);
    Object value{{"utterances", static_cast<std::int64_t>(members.size())}};
    double seconds = 0;
    for (const UtteranceScore* u : members) seconds += u->seconds;
    value["seconds"] = seconds;
    const std::string suffix = set == kGeneratedSet ? "" : "/" + set;
    for (const Measure& measure : all_measures()) {
      const Column column = column_of(members, measure);
      if (column.values.empty()) continue;
      STRATA_TRY(const Estimate mean,
                 estimate(shares_of(column.values), column.speakers, input_.bootstrap));
      Object block = estimate_value(mean);
      const Moments m = moments(column.values);
      block["count"] = static_cast<std::int64_t>(m.count);
      block["sd"] = m.sd;
      Score score =
          score_of(measure.name + suffix, measure, mean, column, judge_label(measure.role));
      for (std::size_t i = 0; i < column.ids.size(); ++i)
        score.items[column.ids[i]] = column.values[i];
      scores_.push_back(std::move(score));
      if (std::string_view(measure.name) == "wer") {
        STRATA_CHECK_OK(add_word_errors(value, block, column, members, suffix));
      }
      value[measure.name] = std::move(block);
    }
    value["by_speaker"] = by_speaker_value(members);
    return Value(std::move(value));
  }

  Status add_word_errors(Object& set, Object& block, const Column& column,
                         const std::vector<const UtteranceScore*>& members,
                         const std::string& suffix) {
    const Measure& wer = all_measures().front();
    block["printed"] =
        printed_mean(input_.protocol.protocol, block.at("value").to_double().value_or(0));
    block["zero"] = std::ranges::count(column.values, 0.0);
    block["above_half"] = std::ranges::count_if(column.values, [](double v) { return v > 0.5; });
    Counts counts;
    for (const UtteranceScore* u : members) counts += u->words;
    STRATA_TRY(Object corpus, add_ratio("wer_corpus" + suffix, wer, column, column.words));
    corpus["counts"] = counts_value(counts, "reference_words");
    const Measures all = measures(counts);
    corpus["mer"] = all.mer;
    corpus["wil"] = all.wil;
    corpus["wip"] = all.wip;
    set["wer_corpus"] = std::move(corpus);
    // Words that were left out, and words that were made up or said twice.
    STRATA_TRY(set["deletion_rate"], add_ratio("deletion_rate" + suffix, wer, column,
                                               shares_of_words(members, &Counts::deletions)));
    STRATA_TRY(set["insertion_rate"], add_ratio("insertion_rate" + suffix, wer, column,
                                                shares_of_words(members, &Counts::insertions)));
    return add_character_errors(set, column, members, suffix);
  }

  // A score that is a ratio of sums, without items: its block of the report.
  Result<Object> add_ratio(const std::string& name, const Measure& measure, const Column& column,
                           const std::vector<Share>& shares) {
    STRATA_TRY(const Estimate e, estimate(shares, column.speakers, input_.bootstrap));
    scores_.push_back(score_of(name, measure, e, column, judge_label(measure.role)));
    return estimate_value(e);
  }

  static std::vector<Share> shares_of_words(const std::vector<const UtteranceScore*>& members,
                                            std::int64_t Counts::*kind) {
    std::vector<Share> shares;
    for (const UtteranceScore* u : members) {
      if (!u->hypothesis) continue;
      shares.push_back({.numerator = static_cast<double>(u->words.*kind),
                        .denominator = static_cast<double>(u->words.reference_length())});
    }
    return shares;
  }

  // Of the normalized texts. A text that is too long to count characters of leaves the set without
  // a CER, and the report says why.
  Status add_character_errors(Object& set, const Column& column,
                              const std::vector<const UtteranceScore*>& members,
                              const std::string& suffix) {
    ErrorCounter counter;
    std::vector<Share> shares;
    Counts counts;
    for (const UtteranceScore* u : members) {
      if (!u->hypothesis) continue;
      const auto found = counter.characters(u->normalized_reference, u->normalized_hypothesis);
      if (!found) {
        set["cer_corpus"] = Object{{"not_counted", u->id + ": " + found.error().message}};
        return {};
      }
      counts += *found;
      shares.push_back({.numerator = static_cast<double>(found->errors()),
                        .denominator = static_cast<double>(found->reference_length())});
    }
    STRATA_TRY(Object block,
               add_ratio("cer_corpus" + suffix, all_measures().front(), column, shares));
    block["counts"] = counts_value(counts, "reference_characters");
    set["cer_corpus"] = std::move(block);
    return {};
  }

  Result<Value> compare(const Column& other, const Column& baseline) {
    std::map<std::string, double> base;
    for (std::size_t i = 0; i < baseline.ids.size(); ++i)
      base[baseline.ids[i]] = baseline.values[i];
    std::vector<double> a;
    std::vector<double> b;
    std::vector<double> differences;
    for (std::size_t i = 0; i < other.ids.size(); ++i) {
      const auto found = base.find(other.ids[i]);
      if (found == base.end()) continue;
      a.push_back(other.values[i]);
      b.push_back(found->second);
      differences.push_back(a.back() - b.back());
    }
    if (differences.empty()) return Value();
    STRATA_TRY(const Bootstrap d, bootstrap_difference(shares_of(a), shares_of(b),
                                                       each_alone(a.size()), input_.bootstrap));
    STRATA_TRY(const double p, sign_flip_p(differences, input_.bootstrap));
    return Value(Object{{"difference", moments(differences).mean},
                        {"interval", interval_value(d)},
                        {"sign_flip_p", p},
                        {"count", static_cast<std::int64_t>(a.size())}});
  }

  Status add_curve(Object& block);
  void add_convergence(Object& block, const Convergence& found, double target);

  Status add_loss_score(Object& block, const std::string& name,
                        const std::map<std::string, double>& items, const std::string& better) {
    if (items.empty()) return {};
    std::vector<double> values;
    for (const auto& [id, value] : items) values.push_back(value);
    STRATA_TRY(const Bootstrap b,
               bootstrap(shares_of(values), each_alone(values.size()), input_.bootstrap));
    const double mean = moments(values).mean;
    block[name] = Object{{"value", mean},
                         {"interval", interval_value(b)},
                         {"count", static_cast<std::int64_t>(values.size())}};
    scores_.push_back({.name = name,
                       .value = mean,
                       .unit = "loss",
                       .interval = Interval{.low = b.low, .high = b.high},
                       .count = values.size(),
                       .better = better,
                       .items = items});
    return {};
  }

  const ReportInput& input_;
  std::map<std::string, std::vector<const UtteranceScore*>> sets_;
  std::vector<Score> scores_;
  Object report_;
};

Status Builder::add_validation() {
  if (input_.validation.empty()) return {};
  using Which = ValidationLoss::Which;
  std::map<std::string, const ValidationLoss*> last;
  std::map<std::string, const ValidationLoss*> early;
  for (const ValidationLoss& v : input_.validation) {
    if (v.which == Which::kPeriodic) continue;
    if (!(v.which == Which::kLast ? last : early).try_emplace(v.id, &v).second) {
      return fail(ErrorCode::kInvalid, "validation has two {} losses for utterance \"{}\"",
                  name_of(v.which), v.id);
    }
  }
  std::map<std::string, double> loss;
  std::map<std::string, double> use;
  std::map<std::string, double> gain;
  for (const auto& [id, row] : last) {
    loss[id] = row->loss;
    if (row->loss_permuted) use[id] = *row->loss_permuted - row->loss;
    const auto before = early.find(id);
    if (before != early.end()) gain[id] = before->second->loss - row->loss;
  }
  Object block;
  STRATA_CHECK_OK(add_loss_score(block, "flow_loss", loss, "lower"));
  STRATA_CHECK_OK(add_loss_score(block, "text_use", use, "higher"));
  STRATA_CHECK_OK(add_loss_score(block, "flow_loss_gain", gain, "higher"));
  if (!last.empty()) block["update_last"] = last.begin()->second->update;
  if (!early.empty()) block["update_early"] = early.begin()->second->update;
  STRATA_CHECK_OK(add_curve(block));
  report_["validation"] = std::move(block);
  return {};
}

Status Builder::add_curve(Object& block) {
  const bool measured_on_the_way = std::ranges::any_of(
      input_.validation, [](const auto& v) { return v.which == ValidationLoss::Which::kPeriodic; });
  if (!measured_on_the_way && !input_.target_loss) return {};  // two points are no curve
  STRATA_TRY(const LossCurve curve, loss_curve(input_.validation));
  Array points;
  const std::vector<double> means = curve.means();
  for (std::size_t k = 0; k < means.size(); ++k)
    points.emplace_back(Array{curve.updates[k], means[k]});
  block["curve"] = std::move(points);
  if (!input_.target_loss) return {};
  STRATA_TRY(const Convergence found, convergence(curve, *input_.target_loss, input_.bootstrap));
  add_convergence(block, found, *input_.target_loss);
  return {};
}

void Builder::add_convergence(Object& block, const Convergence& found, double target) {
  const auto end = [](const auto& e) { return e ? Value(*e) : Value(); };
  const auto number = [](std::size_t count) { return static_cast<std::int64_t>(count); };
  const std::size_t count =
      found.utterances_before + found.utterances_between + found.utterances_never;
  Object about{{"target", target},
               {"says", found.in_words(target)},
               {"count", number(count)},
               {"bracket", Array{end(found.above_at), end(found.reached_by)}},
               {"interval", Array{end(found.low), end(found.high)}},
               {"resamples_before", found.resamples_before},
               {"resamples_in_hole", found.resamples_in_hole},
               {"resamples_never", found.resamples_never},
               {"utterances", Object{{"before", number(found.utterances_before)},
                                     {"between", number(found.utterances_between)},
                                     {"never", number(found.utterances_never)}}}};
  Score score{.name = "updates_to_target",
              .value = found.mean.update,
              .unit = "updates",
              .count = count,
              .better = "lower",
              .items = found.items};
  if (found.has_value()) {
    about["value"] = found.mean.update;
    if (found.low && found.high) score.interval = Interval{.low = *found.low, .high = *found.high};
  } else {  // a bound: the last measurement above the target, or the first one that is not
    score.name += found.reached_by ? kWithin : kNotWithin;
    score.value = static_cast<double>(found.reached_by ? *found.reached_by : *found.above_at);
  }
  block["updates_to_target"] = std::move(about);
  scores_.push_back(std::move(score));
}

}  // namespace

Value to_value(const UtteranceScore& u) {
  Object line{
      {"id", u.id}, {"set", u.set}, {"speaker", u.speaker}, {"seconds", u.seconds}, {"key", u.key}};
  if (u.reference) line["reference"] = *u.reference;
  if (u.hypothesis) {
    line["hypothesis"] = *u.hypothesis;
    line["normalized_reference"] = u.normalized_reference;
    line["normalized_hypothesis"] = u.normalized_hypothesis;
    line["substitutions"] = u.words.substitutions;
    line["deletions"] = u.words.deletions;
    line["insertions"] = u.words.insertions;
    line["hits"] = u.words.hits;
    line["wer"] = u.wer();
    line["no_speech_prob"] = u.no_speech_prob;
    line["windows"] = u.windows;
  }
  if (u.sim_o) line["sim_o"] = *u.sim_o;
  if (u.mos) line["mos"] = *u.mos;
  return line;
}

Result<UtteranceScore> utterance_score_from(const Value& line) {
  Fields fields(line, "utterances.jsonl");
  UtteranceScore u;
  u.id = fields.text("id");
  u.set = fields.text("set");
  u.speaker = fields.text("speaker");
  u.seconds = fields.number("seconds");
  u.key = fields.text("key");
  if (fields.child("reference") != nullptr) u.reference = fields.text("reference");
  if (fields.child("hypothesis") != nullptr) {
    u.hypothesis = fields.text("hypothesis");
    u.normalized_reference = fields.text("normalized_reference");
    u.normalized_hypothesis = fields.text("normalized_hypothesis");
    u.words = {.substitutions = fields.integer("substitutions"),
               .deletions = fields.integer("deletions"),
               .insertions = fields.integer("insertions"),
               .hits = fields.integer("hits")};
    u.no_speech_prob = fields.number("no_speech_prob");
    u.windows = static_cast<int>(fields.integer("windows"));
    fields.number("wer");
  }
  if (fields.child("sim_o") != nullptr) u.sim_o = fields.number("sim_o");
  if (fields.child("mos") != nullptr) u.mos = fields.number("mos");
  STRATA_CHECK_OK(fields.finish());
  return u;
}

Result<Report> make_report(ReportInput input) {
  if (input.utterances.empty() && input.validation.empty())
    return fail(ErrorCode::kInvalid, "there is no utterance to report on");
  const auto place = [](const UtteranceScore& u) { return std::tie(u.set, u.id); };
  std::ranges::sort(input.utterances, std::ranges::less{}, place);
  const auto twin = std::ranges::adjacent_find(input.utterances, std::ranges::equal_to{}, place);
  if (twin != input.utterances.end()) {
    return fail(ErrorCode::kInvalid, "utterance \"{}\" occurs twice in set \"{}\"", twin->id,
                twin->set);
  }
  Builder builder(input);
  STRATA_CHECK_OK(builder.add_sets());
  STRATA_CHECK_OK(builder.add_comparisons());
  STRATA_CHECK_OK(builder.add_validation());
  return builder.finish();
}

Value scores_value(const std::vector<Score>& scores) {
  Array list;
  for (const Score& s : scores) {
    Object score{{"name", s.name},
                 {"value", s.value},
                 {"unit", s.unit},
                 {"count", static_cast<std::int64_t>(s.count)},
                 {"better", s.better}};
    if (s.interval) {
      score["low"] = s.interval->low;
      score["high"] = s.interval->high;
    }
    if (!s.judge.empty()) score["judge"] = s.judge;
    if (!s.items.empty()) {
      Object items;
      for (const auto& [id, value] : s.items) items[id] = value;
      score["items"] = std::move(items);
    }
    list.emplace_back(std::move(score));
  }
  return Object{{"scores", std::move(list)}};
}

}  // namespace strata::evaluator

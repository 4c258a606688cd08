#include "evaluator/compare_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "evaluator/core/report.h"

namespace strata::evaluator {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLinesName = "utterances.jsonl";
constexpr const char* kReportName = "report.json";
constexpr std::size_t kNamed = 3;  // utterances of one side alone that the text names

// ==== Reading

// The judge of a role, by name, version and the first letters of its identity.
std::string judge_of(const Value& report, const std::string& role) {
  const Value* judge = report.find("judges." + role);
  if (judge == nullptr) return "";
  Fields fields(*judge, std::string(kReportName) + ": judges." + role);
  const std::string name = fields.text("name", "");
  const std::int64_t version = fields.integer("version", 0);
  return fmt::format("{}@{} {}", name, version, fields.text("identity", "").substr(0, 12));
}

void add_item(System& system, const std::string& score, const ScoreColumn& about,
              const std::string& id, Share share) {
  system.scores.try_emplace(score, about).first->second.items[id] = share;
}

struct Judges {
  std::string asr{}, speaker{}, mos{};
};

void add_line(System& system, const UtteranceScore& u, const Judges& judges) {
  if (!u.speaker.empty()) system.speakers[u.id] = u.speaker;
  if (u.hypothesis) {
    system.references[u.id] = u.normalized_reference;
    const ScoreColumn mean{.unit = "fraction", .better = "lower", .judge = judges.asr};
    ScoreColumn corpus = mean;
    corpus.counts = true;
    add_item(system, "wer", mean, u.id, {.numerator = u.wer()});
    add_item(system, "wer_corpus", corpus, u.id,
             {.numerator = static_cast<double>(u.words.errors()),
              .denominator = static_cast<double>(u.words.reference_length())});
  }
  if (u.sim_o) {
    add_item(system, "sim_o", {.unit = "cosine", .better = "higher", .judge = judges.speaker}, u.id,
             {.numerator = *u.sim_o});
  }
  if (u.mos) {
    add_item(system, "mos", {.unit = "points", .better = "higher", .judge = judges.mos}, u.id,
             {.numerator = *u.mos});
  }
}

Result<Value> read_json(const fs::path& file) {
  STRATA_TRY(const std::string text, read_file(file));
  auto value = parse_json(text);
  if (!value) return tl::unexpected(value.error().while_doing(file.string()));
  return value;
}

Result<System> read_report_folder(const fs::path& folder, const std::string& set) {
  STRATA_TRY(const Value report, read_json(folder / kReportName));
  const std::string where = (folder / kReportName).string();
  System system;
  if (const Value* protocol = report.find("protocol")) {
    Fields fields(*protocol, where + ": protocol");
    const std::string name = fields.text("name");
    system.protocol = fmt::format("{}@{}", name, fields.integer("version"));
    STRATA_CHECK_OK(fields.finish());
  }
  const Value* scored = report.find("utterances");
  const Judges judges{.asr = judge_of(report, "asr"),
                      .speaker = judge_of(report, "speaker"),
                      .mos = judge_of(report, "mos")};
  STRATA_TRY(const std::string text, read_file(folder / kLinesName));
  std::size_t number = 0;
  std::set<std::pair<std::string, std::string>> known;  // set and id
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    ++number;
    const auto value = parse_json(std::string_view(text).substr(begin, end - begin));
    auto line = value ? utterance_score_from(*value)
                      : Result<UtteranceScore>(tl::unexpected(value.error()));
    if (!line) {
      return tl::unexpected(
          line.error().while_doing(fmt::format("{}:{}", (folder / kLinesName).string(), number)));
    }
    if (!known.emplace(line->set, line->id).second) {
      return fail(ErrorCode::kInvalid, "{}:{}: \"{}\" of the set \"{}\" is there twice",
                  (folder / kLinesName).string(), number, line->id, line->set);
    }
    if (line->set == set) add_line(system, *line, judges);
    begin = end + 1;
  }
  if (scored == nullptr || *scored != Value(static_cast<std::int64_t>(number))) {
    return fail(
        ErrorCode::kInvalid,
        "{} is not of the {} lines in {}: the scoring of this folder has not ended; start it "
        "again",
        where, number, kLinesName);
  }
  if (system.scores.empty()) {
    return fail(ErrorCode::kInvalid, "{} has no scores of the set \"{}\" (see --set)",
                (folder / kLinesName).string(), set);
  }
  return system;
}

Result<System> read_scores_file(const fs::path& file, const std::string& set) {
  STRATA_TRY(const Value value, read_json(file));
  const Value* scores = value.find("scores");
  if (scores == nullptr || scores->if_array() == nullptr) {
    return fail(ErrorCode::kInvalid,
                "{} has no list \"scores\": name a report folder of `score`, or a scores.json",
                file.string());
  }
  const std::string suffix = set == kGeneratedSet ? "" : "/" + set;
  System system;
  for (const Value& one : *scores->if_array()) {
    Fields fields(one, file.string());
    const std::string name = fields.text("name");
    ScoreColumn column{.unit = fields.text("unit", ""),
                       .better = fields.text("better", ""),
                       .judge = fields.text("judge", "")};
    const Value* items = fields.child("items");
    for (const char* known : {"value", "count", "low", "high"}) fields.child(known);
    STRATA_CHECK_OK(fields.finish());
    const std::string plain = name.substr(0, name.find('/'));
    const bool of_set = name == plain + suffix;
    if (!of_set || items == nullptr || items->if_object() == nullptr) continue;
    for (const auto& [id, number] : *items->if_object()) {
      const auto item = number.to_double();
      if (!item)
        return fail(ErrorCode::kInvalid, "{}: {} of \"{}\" is no number", file.string(), name, id);
      column.items[id] = {.numerator = *item};
    }
    if (!system.scores.emplace(plain, std::move(column)).second)
      return fail(ErrorCode::kInvalid, "{}: the score {} is there twice", file.string(), name);
  }
  if (system.scores.empty()) {
    return fail(ErrorCode::kInvalid, "{} has no scores of utterances of the set \"{}\" (see --set)",
                file.string(), set);
  }
  return system;
}

// ==== Printing

std::string p_text(double p) { return p < 0.001 ? "<0.001" : fmt::format("{:.3f}", p); }

std::string interval_text(const Bootstrap& b) {
  return fmt::format("{:+.5f} .. {:+.5f}", b.low, b.high);
}

std::string names_of(const std::vector<std::string>& ids) {
  std::string text;
  for (std::size_t i = 0; i < std::min(kNamed, ids.size()); ++i)
    text += (i == 0 ? "" : ", ") + ids[i];
  return text + (ids.size() > kNamed ? ", ..." : "");
}

// Cells under their heads, the first column to the left, the last one as it is.
std::string table_text(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line = fmt::format("{:<{}}", row[0], widths[0]);
    for (std::size_t c = 1; c + 1 < row.size(); ++c)
      line += fmt::format("  {:>{}}", row[c], widths[c]);
    line += "  " + row.back();
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string comparison_text(const Comparison& c, const std::string& a, const std::string& b,
                            const System& system, const BootstrapOptions& options) {
  const double percent = 100 * options.confidence;
  std::string text = fmt::format("A  {}\nB  {}\n", a, b);
  if (!system.protocol.empty()) text += fmt::format("protocol {}\n", system.protocol);
  std::vector<std::vector<std::string>> differences{
      {"score", "n", "A", "B", "B - A", fmt::format("{:g} % by utterance", percent),
       fmt::format("{:g} % by speaker", percent), "p", "Holm", ""}};
  std::vector<std::vector<std::string>> tests{{"score", "speakers", "P(B better)", "Wilcoxon p",
                                               "sign test p", "paired t p", "MAPSSWE p", ""}};
  for (const ComparedScore& row : c.scores) {
    differences.push_back({row.name, fmt::format("{}", row.utterances),
                           fmt::format("{:.5f}", row.a), fmt::format("{:.5f}", row.b),
                           fmt::format("{:+.5f}", row.difference), interval_text(row.by_utterance),
                           row.by_speaker ? interval_text(*row.by_speaker) : "-",
                           p_text(row.sign_flip_p), p_text(row.sign_flip_p_holm),
                           std::string(in_words(row.verdict))});
    tests.push_back({row.name, row.speakers > 0 ? fmt::format("{}", row.speakers) : "-",
                     row.b_is_better ? fmt::format("{:.4f}", *row.b_is_better) : "-",
                     p_text(row.wilcoxon.p), p_text(row.sign.p), p_text(row.paired_t.p),
                     row.matched_pairs ? p_text(row.matched_pairs->p) : "-", ""});
  }
  text += "\n" + table_text(differences) + "\n" + table_text(tests);
  const bool counts = std::ranges::any_of(
      c.scores, [](const ComparedScore& row) { return row.matched_pairs.has_value(); });
  text += fmt::format(
      "\np: sign flips of the utterances' differences{}, after Holm over {} scores; intervals of "
      "{} "
      "resamples, seed {}.\n",
      counts ? " (for wer_corpus of error counts)" : "", c.scores.size(), options.resamples,
      options.seed);
  for (const auto& [who, ids] : {std::pair{"A", &c.only_in_a}, std::pair{"B", &c.only_in_b}}) {
    if (!ids->empty())
      text += fmt::format("only in {}, and not compared: {} utterances ({})\n", who, ids->size(),
                          names_of(*ids));
  }
  if (!c.scores_of_one.empty())
    text += fmt::format("of one of them only: {}\n", fmt::join(c.scores_of_one, ", "));
  return text;
}

// null where it is infinite: all differences are the same.
Value number_value(double number) { return std::isfinite(number) ? Value(number) : Value(); }

Value test_value(const PairedTest& test) {
  return Object{{"statistic", number_value(test.statistic)},
                {"p", test.p},
                {"count", static_cast<std::int64_t>(test.count)}};
}

Value strings_value(const std::vector<std::string>& strings) {
  Array list;
  for (const std::string& s : strings) list.emplace_back(s);
  return list;
}

Value comparison_value(const Comparison& c, const BootstrapOptions& options) {
  Array scores;
  for (const ComparedScore& row : c.scores) {
    Object score{{"name", row.name},
                 {"unit", row.unit},
                 {"better", row.better},
                 {"utterances", static_cast<std::int64_t>(row.utterances)},
                 {"a", row.a},
                 {"b", row.b},
                 {"b_minus_a", row.difference},
                 {"interval_by_utterance", Array{row.by_utterance.low, row.by_utterance.high}},
                 {"b_is_better", row.b_is_better ? Value(*row.b_is_better) : Value()},
                 {"sign_flip_p", row.sign_flip_p},
                 {"sign_flip_p_holm", row.sign_flip_p_holm},
                 {"wilcoxon", test_value(row.wilcoxon)},
                 {"sign_test", test_value(row.sign)},
                 {"paired_t", test_value(row.paired_t)},
                 {"says", std::string(in_words(row.verdict))}};
    if (row.speakers > 0) score["speakers"] = static_cast<std::int64_t>(row.speakers);
    if (row.by_speaker)
      score["interval_by_speaker"] = Array{row.by_speaker->low, row.by_speaker->high};
    if (row.matched_pairs) score["matched_pairs"] = test_value(*row.matched_pairs);
    scores.emplace_back(std::move(score));
  }
  return Object{{"scores", std::move(scores)},
                {"only_in_a", strings_value(c.only_in_a)},
                {"only_in_b", strings_value(c.only_in_b)},
                {"scores_of_one", strings_value(c.scores_of_one)},
                {"bootstrap", Object{{"resamples", options.resamples},
                                     {"seed", options.seed},
                                     {"confidence", options.confidence}}}};
}

}  // namespace

Result<System> read_system(const fs::path& path, const std::string& set) {
  std::error_code error;
  if (!fs::exists(path, error)) return fail(ErrorCode::kNotFound, "there is no {}", path.string());
  if (fs::is_directory(path, error)) return read_report_folder(path, set);
  if (path.filename() == kReportName || path.filename() == kLinesName)
    return read_report_folder(path.parent_path(), set);
  return read_scores_file(path, set);
}

Result<std::string> compare_files(const fs::path& a, const fs::path& b,
                                  const CompareOptions& options) {
  const std::string set = options.set.empty() ? kGeneratedSet : options.set;
  STRATA_TRY(const System of_a, read_system(a, set));
  STRATA_TRY(const System of_b, read_system(b, set));
  STRATA_TRY(const Comparison comparison, compare_systems(of_a, of_b, options.bootstrap));
  if (options.json) return to_pretty_json(comparison_value(comparison, options.bootstrap)) + "\n";
  return comparison_text(comparison, a.string(), b.string(), of_a, options.bootstrap);
}

}  // namespace strata::evaluator

#include "evaluator/text_commands.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "evaluator/core/edit_distance.h"
#include "evaluator/core/statistics.h"

namespace strata::evaluator {
namespace {

std::vector<std::string_view> lines_of(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<std::string_view> cells_of(std::string_view line) {
  std::vector<std::string_view> cells;
  for (;;) {
    const auto end = line.find('\t');
    cells.push_back(line.substr(0, end));
    if (end == std::string_view::npos) return cells;
    line.remove_prefix(end + 1);
  }
}

struct PairErrors {
  Counts words{};
  std::optional<Counts> characters{};  // none: a side has more than kCerBytesMax
};

// Pairs of texts under one protocol. Keeps its buffers, so one for all lines.
class PairReader {
 public:
  explicit PairReader(Protocol protocol) : protocol_(protocol) {}

  Result<PairErrors> read(std::string_view reference, std::string_view hypothesis) {
    if (protocol_ == Protocol::kPlain) return count(reference, hypothesis);
    STRATA_TRY(const std::string ref, normalize(protocol_, reference));
    STRATA_TRY(const std::string hyp, normalize(protocol_, hypothesis));
    return count(ref, hyp);
  }

 private:
  Result<PairErrors> count(std::string_view reference, std::string_view hypothesis) {
    PairErrors errors;
    STRATA_TRY(errors.words, counter_.words(reference, hypothesis));
    if (std::max(reference.size(), hypothesis.size()) <= kCerBytesMax) {
      STRATA_TRY(errors.characters, counter_.characters(reference, hypothesis));
    }
    return errors;
  }

  Protocol protocol_;
  ErrorCounter counter_{};
};

struct Summary {
  std::size_t lines = 0;
  Counts words{};
  std::optional<Counts> characters = Counts{};  // none where a pair has none
  double mean = 0;
  std::optional<Bootstrap> corpus_interval{};
  std::optional<Bootstrap> mean_interval{};
};

Result<Summary> summarize(const std::vector<PairErrors>& pairs) {
  Summary summary{.lines = pairs.size()};
  std::vector<Share> corpus;
  std::vector<double> rates;
  for (const PairErrors& pair : pairs) {
    summary.words += pair.words;
    if (!pair.characters) summary.characters.reset();
    if (summary.characters) *summary.characters += *pair.characters;
    corpus.push_back({.numerator = static_cast<double>(pair.words.errors()),
                      .denominator = static_cast<double>(pair.words.reference_length())});
    rates.push_back(error_rate(pair.words));
  }
  if (pairs.empty()) return summary;
  summary.mean = moments(rates).mean;
  STRATA_TRY(summary.corpus_interval, bootstrap(corpus, each_alone(pairs.size()), {}));
  STRATA_TRY(summary.mean_interval, bootstrap(shares_of(rates), each_alone(pairs.size()), {}));
  return summary;
}

std::string summary_text(const Summary& s, const ProtocolInfo& protocol) {
  const Measures m = measures(s.words);
  const auto interval = [](const std::optional<Bootstrap>& b) {
    return b ? fmt::format("   95 % {:.5f} .. {:.5f}", b->low, b->high) : std::string();
  };
  return fmt::format(
      "protocol            {} {}, {} lines\n"
      "WER, mean of lines  {:.5f}{}\n"
      "WER, corpus         {:.5f}{}\n"
      "  {} of {} words wrong: {} substituted, {} deleted; {} inserted\n"
      "MER {:.5f}   WIL {:.5f}   WIP {:.5f}   CER {}\n",
      protocol.name, protocol.version, s.lines, s.mean, interval(s.mean_interval), m.wer,
      interval(s.corpus_interval), s.words.substitutions + s.words.deletions,
      s.words.reference_length(), s.words.substitutions, s.words.deletions, s.words.insertions,
      m.mer, m.wil, m.wip,
      s.characters ? fmt::format("{:.5f}", error_rate(*s.characters))
                   : fmt::format("not counted: a line has over {} bytes", kCerBytesMax));
}

Object counts_object(const Counts& c) {
  return {{"substitutions", c.substitutions},
          {"deletions", c.deletions},
          {"insertions", c.insertions},
          {"hits", c.hits}};
}

Value cer_value(const std::optional<Counts>& characters) {
  return characters ? Value(error_rate(*characters)) : Value();
}

std::string summary_json(const Summary& s, const ProtocolInfo& protocol) {
  const Measures m = measures(s.words);
  Object out = counts_object(s.words);
  out["protocol"] = Object{{"name", protocol.name}, {"version", protocol.version}};
  out["lines"] = static_cast<std::int64_t>(s.lines);
  out["wer_mean"] = s.mean;
  out["wer_corpus"] = m.wer;
  if (s.mean_interval)
    out["wer_mean_interval"] = Array{s.mean_interval->low, s.mean_interval->high};
  if (s.corpus_interval)
    out["wer_corpus_interval"] = Array{s.corpus_interval->low, s.corpus_interval->high};
  out["mer"] = m.mer;
  out["wil"] = m.wil;
  out["wip"] = m.wip;
  out["cer"] = cer_value(s.characters);
  return to_pretty_json(out) + "\n";
}

constexpr std::array<const char*, 9> kColumns{
    "substitutions", "deletions", "insertions", "hits", "wer", "mer", "wil", "wip", "cer"};

Object row_object(const PairErrors& pair) {
  const Measures m = measures(pair.words);
  Object row = counts_object(pair.words);
  row["wer"] = m.wer;
  row["mer"] = m.mer;
  row["wil"] = m.wil;
  row["wip"] = m.wip;
  row["cer"] = cer_value(pair.characters);
  return row;
}

std::string table_json(const std::vector<PairErrors>& pairs) {
  Array rows;
  for (const PairErrors& pair : pairs) rows.emplace_back(row_object(pair));
  return to_pretty_json(rows) + "\n";
}

std::string table_tsv(const std::vector<PairErrors>& pairs) {
  std::string out = fmt::format("{}\n", fmt::join(kColumns, "\t"));
  const auto add = [&out](double measure) {
    out += '\t';
    out += Number(measure).text();  // always finite: empty sides have their own rules
  };
  for (const PairErrors& pair : pairs) {
    const Counts& c = pair.words;
    fmt::format_to(std::back_inserter(out), "{}\t{}\t{}\t{}", c.substitutions, c.deletions,
                   c.insertions, c.hits);
    const Measures m = measures(c);
    for (const double measure : {m.wer, m.mer, m.wil, m.wip}) add(measure);
    if (pair.characters) {
      add(error_rate(*pair.characters));
    } else {
      out += '\t';
    }
    out += '\n';
  }
  return out;
}

std::string table_text(const std::vector<PairErrors>& pairs, TableFormat format) {
  return format == TableFormat::kJson ? table_json(pairs) : table_tsv(pairs);
}

}  // namespace

Result<std::string> wer_of_files(const std::filesystem::path& reference,
                                 const std::filesystem::path& hypothesis,
                                 const ProtocolInfo& protocol, TableFormat format) {
  STRATA_TRY(const std::string ref_text, read_file(reference));
  STRATA_TRY(const std::string hyp_text, read_file(hypothesis));
  const auto refs = lines_of(ref_text);
  const auto hyps = lines_of(hyp_text);
  if (refs.size() != hyps.size()) {
    return fail(ErrorCode::kInvalid,
                "{} has {} lines, {} has {}: line N of one must belong to line N of the other",
                reference.string(), refs.size(), hypothesis.string(), hyps.size());
  }
  PairReader reader(protocol.protocol);
  std::vector<PairErrors> pairs;
  for (std::size_t i = 0; i < refs.size(); ++i) {
    auto errors = reader.read(refs[i], hyps[i]);
    if (!errors) return tl::unexpected(errors.error().while_doing(fmt::format("line {}", i + 1)));
    pairs.push_back(*errors);
  }
  if (format == TableFormat::kTsv) return table_text(pairs, format);
  STRATA_TRY(const Summary summary, summarize(pairs));
  return format == TableFormat::kJson ? summary_json(summary, protocol)
                                      : summary_text(summary, protocol);
}

Result<std::string> wer_of_table(const std::filesystem::path& table, const ProtocolInfo& protocol,
                                 TableFormat format) {
  STRATA_TRY(const std::string text, read_file(table));
  const auto lines = lines_of(text);
  if (lines.empty())
    return fail(ErrorCode::kInvalid, "{} is empty; the first line must name the columns",
                table.string());
  const auto header = cells_of(lines.front());
  const auto ref = std::ranges::find(header, "reference") - header.begin();
  const auto hyp = std::ranges::find(header, "hypothesis") - header.begin();
  if (ref == std::ssize(header) || hyp == std::ssize(header)) {
    return fail(ErrorCode::kInvalid,
                "{}:1: the first line must name tab-separated columns, \"reference\" and "
                "\"hypothesis\" among them",
                table.string());
  }
  PairReader reader(protocol.protocol);
  std::vector<PairErrors> pairs;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const auto cells = cells_of(lines[i]);
    if (cells.size() != header.size()) {
      return fail(ErrorCode::kInvalid, "{}:{}: {} tab-separated fields, the first line has {}",
                  table.string(), i + 1, cells.size(), header.size());
    }
    auto errors =
        reader.read(cells[static_cast<std::size_t>(ref)], cells[static_cast<std::size_t>(hyp)]);
    if (!errors)
      return tl::unexpected(
          errors.error().while_doing(fmt::format("{}:{}", table.string(), i + 1)));
    pairs.push_back(*errors);
  }
  return table_text(pairs, format);
}

Result<std::string> normalize_lines(std::string_view text, const ProtocolInfo& protocol) {
  std::string out;
  std::size_t number = 0;
  for (const std::string_view line : lines_of(text)) {
    ++number;
    auto normalized = normalize(protocol.protocol, line);
    if (!normalized)
      return tl::unexpected(normalized.error().while_doing(fmt::format("line {}", number)));
    out += *normalized + "\n";
  }
  return out;
}

int exit_code_of(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalid:
    case ErrorCode::kNotFound:
    case ErrorCode::kConflict:
    case ErrorCode::kUnsupported:
    case ErrorCode::kTooLarge: return 2;
    case ErrorCode::kUnavailable:
    case ErrorCode::kDamaged:
    case ErrorCode::kInternal: return 1;
  }
  return 1;
}

}  // namespace strata::evaluator

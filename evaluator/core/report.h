// From scored utterances to the two files that a scoring task gives back: the scores that tables
// read and the report that people and referees read. Pure: the same utterances in any order give
// the same bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/value.h"
#include "evaluator/core/convergence.h"
#include "evaluator/core/edit_distance.h"
#include "evaluator/core/normalizer.h"
#include "evaluator/core/statistics.h"

namespace strata::evaluator {

inline constexpr const char* kGeneratedSet = "generated";  // the set whose scores carry no suffix
inline constexpr const char* kRecordingsSet = "recordings";

struct UtteranceScore {
  std::string id{};
  std::string set{};
  std::string speaker{};
  double seconds = 0;
  std::string
      key{};  // hash of everything that decides this line; a line of another key is scored again
  // With a reference text and a recognizer:
  std::optional<std::string> reference{};
  std::optional<std::string> hypothesis{};
  std::string normalized_reference{};
  std::string normalized_hypothesis{};
  Counts words{};
  double no_speech_prob = 0;  // of the first window
  int windows = 0;
  // With a prompt and a speaker judge; with a MOS judge:
  std::optional<double> sim_o{};
  std::optional<double> mos{};

  [[nodiscard]] double wer() const { return error_rate(words); }
  bool operator==(const UtteranceScore&) const = default;
};

[[nodiscard]] Value to_value(const UtteranceScore& score);
[[nodiscard]] Result<UtteranceScore> utterance_score_from(const Value& line);

// What is known of a judge, from its archive.
struct JudgeInfo {
  std::string name{};
  std::string role{};  // "asr", "speaker", "mos"
  std::string family{};
  std::int64_t version = 0;
  std::int64_t exporter_version = 0;
  std::string identity{};
  std::string torch_version{};  // that exported it
  std::string interface {};
  Value settings{};
  [[nodiscard]] std::string label() const { return fmt::format("{}@{}", name, version); }
};

struct ReportInput {
  std::vector<UtteranceScore> utterances{};
  ProtocolInfo protocol{};
  std::vector<JudgeInfo> judges{};
  std::string list_sha256{};  // of the rows that were scored
  BootstrapOptions bootstrap{};
  std::vector<ValidationLoss> validation{};
  std::optional<double> target_loss{};  // of the score updates_to_target; without it there is none
  Object environment{};  // resampler, library versions: what else decides the numbers
};

// A final number in the form of docs/stages.md.
struct Score {
  std::string name{};
  double value = 0;
  std::string unit{};
  std::optional<Interval> interval{};
  std::size_t count = 0;
  std::string better{};
  std::string judge{};                    // empty: no judge has a part in it
  std::map<std::string, double> items{};  // empty where the value is no mean of items
};

struct Report {
  std::vector<Score> scores{};
  Value summary{};  // report.json
};

// An error when there is nothing to score, or two utterances share set and id.
[[nodiscard]] Result<Report> make_report(ReportInput input);
[[nodiscard]] Value scores_value(const std::vector<Score>& scores);  // scores.json

}  // namespace strata::evaluator

// The spec file of a scoring task (docs/stages.md), read and checked.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/value.h"
#include "evaluator/audio_list.h"
#include "evaluator/core/normalizer.h"
#include "evaluator/core/statistics.h"

namespace strata::evaluator {

// One exported archive, `<models>/<name>.pt`. With an empty identity whatever lies there is taken,
// and said so in the log.
struct JudgeChoice {
  std::string name{};
  std::string identity{};
};

struct ScoreSpec {
  std::filesystem::path audio{};  // folder with list.jsonl
  std::vector<ListRow> rows{};    // of a list of another kind, located and checked: then no `audio`
  std::optional<std::filesystem::path> corpus{};      // folder with manifest.jsonl
  std::optional<std::filesystem::path> validation{};  // folder with validation.jsonl
  std::filesystem::path report{};                     // output folder
  std::filesystem::path models{};
  std::optional<std::filesystem::path> resume{};  // folder with utterances.jsonl
  int threads = 1;

  ProtocolInfo protocol{};
  std::optional<JudgeChoice> asr{};
  std::optional<JudgeChoice> speaker{};
  std::optional<JudgeChoice> mos{};
  std::vector<std::string> sets{};  // empty: every set of the list
  BootstrapOptions bootstrap{};
  std::optional<double> target_loss{};  // of the score updates_to_target
};

// The parameters stand in `parameters`, or in `parameters.score` where the sweep keeps them
// together.
[[nodiscard]] Result<ScoreSpec> parse_score_spec(const Value& spec, const std::string& where);
[[nodiscard]] Result<ScoreSpec> read_score_spec(const std::filesystem::path& path);

}  // namespace strata::evaluator

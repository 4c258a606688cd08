// `strata-evaluator score --list`: a list that others publish and a folder of recordings become the
// scoring task that a spec file would describe. No torch here.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "evaluator/list_formats.h"
#include "evaluator/score_spec.h"

namespace strata::evaluator {

struct ScoreListOptions {
  std::filesystem::path list{};
  std::filesystem::path wavs{};     // empty: the folder of the list, which only jsonl may have
  std::filesystem::path prompts{};  // empty: the folder of the list; librispeech-pc needs one
  std::filesystem::path models{};
  std::filesystem::path out{};  // empty: beside the recordings, "<wavs>.scores"
  std::string protocol{};
  std::string format{};  // empty: told from the content
  std::string asr{};     // names of archives in `models`; empty: that score is not there
  std::string speaker{};
  std::string mos{};
  int threads = 1;
  bool json = false;  // print JSON, no table
};

struct ListTask {
  ScoreSpec spec{};      // rows and all; its report folder is `out`
  Object environment{};  // for the report: which list it was
  std::string list{};    // its name
  std::vector<std::string> warnings{};
};

// Reads the list and looks for every file that a score needs: without a speaker judge no prompt is
// looked at. Everything that is wrong with rows and files is in one message, with line numbers.
[[nodiscard]] Result<ListTask> prepare_list_task(const ScoreListOptions& options);

// Makes `out`, and takes the figures of an earlier run away, so that none stands beside recordings
// that it was not made of. What was heard (utterances.jsonl) stays.
[[nodiscard]] Status prepare_out(const std::filesystem::path& out);

// The scores of a finished task, from the files that it left, as a table or as JSON.
[[nodiscard]] Result<std::string> scores_text(const ListTask& task, bool json);

}  // namespace strata::evaluator

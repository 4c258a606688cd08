// What the synthesis stage hands to scoring: a folder of recordings with list.jsonl, one recording
// a line:
//   {"id": "utt-1", "set": "generated", "audio": "wavs/utt-1.wav", "text": "...", "prompt":
//   "prompts/utt-1.wav",
//    "speaker": "61", "seconds": 3.2}
// `text` null: no WER for the row; `prompt` null: no SIM. Paths are relative and stay inside the
// folder. Lists in the published formats become the same rows (list_formats.h).
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "evaluator/core/report.h"
#include "evaluator/line_problems.h"

namespace strata::evaluator {

inline constexpr std::size_t kListRowsMax = 100'000;  // as many as a score may have items
inline constexpr const char* kListName = "list.jsonl";
// What base/audio reads, as file names say it.
inline constexpr std::array kRecordingExtensions{".wav", ".flac", ".mp3", ".ogg", ".opus"};

struct ListRow {
  std::string id{};
  std::string set{};
  std::string audio{};
  std::optional<std::string> text{};
  std::optional<std::string> prompt{};
  std::string speaker{};
  std::size_t line = 0;                 // of the list, from 1
  std::filesystem::path audio_file{};   // where `audio` is: locate_files
  std::filesystem::path prompt_file{};  // where `prompt` is, if there is one
};

// Rows of the wanted sets (empty: all), ordered by set and id: the order of the list decides
// nothing. Errors name the lines, all of them at once: invalid JSON, a missing or unknown field, a
// path that leaves the folder, the same id twice in one set; or a set without a row.
[[nodiscard]] Result<std::vector<ListRow>> parse_audio_list(std::string_view text,
                                                            const std::vector<std::string>& sets);
// The same where more is still to be looked at before anything is said: the good rows as they
// stand, the problems gathered under the name of the list.
[[nodiscard]] std::vector<ListRow> gather_audio_list(std::string_view text, LineProblems& problems);
void order_rows(std::vector<ListRow>& rows);
// Fills in where the files are. A prompt that the list gives as an absolute path stays there.
void locate_files(std::vector<ListRow>& rows, const std::filesystem::path& recordings,
                  const std::filesystem::path& prompts);
// Every file that a row names must be there. REQUIRES: located.
void check_files(const std::vector<ListRow>& rows, LineProblems& problems);
// parse_audio_list for `<folder>/list.jsonl`, located and checked.
[[nodiscard]] Result<std::vector<ListRow>> read_audio_list(const std::filesystem::path& folder,
                                                           const std::vector<std::string>& sets);
// Of the texts, speakers and pairs that are scored, not of where the files lie.
[[nodiscard]] std::string list_hash(const std::vector<ListRow>& rows);

// Held-out losses: `<folder>/validation.jsonl`, lines {"id", "update", "which": "early" |
// "periodic" | "last", "loss", "loss_permuted"}.
[[nodiscard]] Result<std::vector<ValidationLoss>> parse_validation(std::string_view text);
[[nodiscard]] Result<std::vector<ValidationLoss>> read_validation(
    const std::filesystem::path& folder);

// Every row whose id stands in the corpus with a transcript must have that transcript, compared
// after normalization.
[[nodiscard]] Status check_texts(const std::vector<ListRow>& rows, std::string_view manifest,
                                 Protocol protocol);

}  // namespace strata::evaluator

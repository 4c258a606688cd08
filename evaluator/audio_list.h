// What the synthesis stage hands to scoring: a folder of recordings with list.jsonl, one recording
// a line:
//   {"id": "utt-1", "set": "generated", "audio": "wavs/utt-1.wav", "text": "...", "prompt":
//   "prompts/utt-1.wav",
//    "speaker": "61", "seconds": 3.2}
// `text` null: no WER for the row; `prompt` null: no SIM. Paths are relative and stay inside the
// folder.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "evaluator/core/report.h"

namespace strata::evaluator {

inline constexpr std::size_t kListRowsMax = 100'000;  // as many as a score may have items

struct ListRow {
  std::string id{};
  std::string set{};
  std::string audio{};
  std::optional<std::string> text{};
  std::optional<std::string> prompt{};
  std::string speaker{};
};

// Rows of the wanted sets (empty: all), ordered by set and id: the order of the list decides
// nothing. Errors name the line: invalid JSON, a missing or unknown field, a path that leaves the
// folder, the same id twice in one set, no row at all.
[[nodiscard]] Result<std::vector<ListRow>> parse_audio_list(std::string_view text,
                                                            const std::vector<std::string>& sets);
// The above for `<folder>/list.jsonl`; every file that a row names must be there.
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

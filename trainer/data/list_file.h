// The generic manifest: a list of the user's recordings, one a line.
//
//   .jsonl  {"audio", "speaker", "id", "text", "tokens", "reference", "split", "prompt"}
//   .tsv    audio TAB text TAB speaker
//
// `audio` is required, and a path relative to the list's folder; `id` comes from the file's name
// when absent, `speaker` is "speaker". `text` may be absent for references. The text as a list of
// tokens stands in `tokens` beside it, or instead of it in `text`, which is then the tokens joined.
// `split` is train, heldout, prompt or reference (the same as "reference": true); `prompt` is the
// id of the prompt of a held-out item.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/data/selection.h"

namespace strata::trainer {

inline constexpr std::size_t kListItemsMax = 5'000'000;

// `samples` of the candidates are at `rate`, from the headers of the files; 0 where there is no
// file. An error names the entry.
[[nodiscard]] Result<std::vector<Candidate>> read_list(const std::filesystem::path& path, int rate);

// Of the bytes of a file that decides a corpus by what it holds and not by its path. Nothing is
// checked where `expected` is empty; else an error names `parameter` and the hash that was found.
[[nodiscard]] Status check_sha256(const std::filesystem::path& path, const std::string& expected,
                                  const std::string& parameter);

// Fills in samples at `rate`, and seconds, from the header of candidate.source; leaves 0 samples
// where there is no such file.
[[nodiscard]] Status measure_recording(Candidate& candidate, int rate);

}  // namespace strata::trainer

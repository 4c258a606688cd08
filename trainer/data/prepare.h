// The stage `prepare`: recordings and transcripts in, a corpus folder out (manifest.h).
//
//   parameters.corpus = {"kind": "asterisk", "language": "en", "others": ["fr", "it", "ru"],
//                        "version": "1.6.1-1", …common}
//                       {"kind": "flite-digits", "voices": ["slt"], "others": ["rms"],
//                        "digits": [3, 5], "utterances": 900 for each voice, "text_seed": 1,
//                        "version": "2.2-5", …common}
//                       {"kind": "list", "file": "/path/list.jsonl or .tsv",
//                        "sha256": that of the file, or absent: not checked, …common}
//   common: "seconds": [1.0, 4.0], "heldout": 60, "references_each": 20, "split_seed": 1,
//           "limit": null
//
// A list has lines {"audio", "text", "speaker", "id", "reference"} (id: from the file's name when
// absent; text may be absent for references), or, when its name ends in .tsv, audio TAB text TAB
// speaker. Paths are relative to the list's folder. The same recordings give the same bytes in
// every file. Spoken digits: flite_digits.h; `others` are the other speakers of similarity.
#pragma once

#include "base/result.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {

inline constexpr std::size_t kReportExamples = 5;  // ids shown for each reason

// Output "corpus". The value is the exit code: 0, or 4 when asked to stop.
[[nodiscard]] Result<int> run_prepare(const StageSpec& spec);

}  // namespace strata::trainer

// The stage `prepare`: recordings and transcripts in, a corpus folder out (manifest.h).
//
//   parameters.corpus = {"kind": "asterisk", "language": "en", "others": ["fr", "it", "ru"],
//                        "version": "1.6.1-1", …common}
//                       {"kind": "flite-digits", "voices": ["slt"], "others": ["rms"],
//                        "digits": [3, 5], "utterances": 900 for each voice, "text_seed": 1,
//                        "version": "2.2-5", …common}
//                       {"kind": "list", "file": "/path/list.jsonl or .tsv",
//                        "sha256": that of the file, or absent: not checked,
//                        "texts": "checked" | "any", …common}
//                       {"kind": "libritts" | "librispeech", "root": folder, "sets": [names],
//                        …common}
//                       {"kind": "librispeech-pc", "file": "/path/pairs.lst", "sha256": as above,
//                        "root": folder of the set, …all}
//   common: "seconds": [1.0, 4.0], "heldout": 60, "references_each": 20, "split_seed": 1,
//           "limit": null, …all; list and the libri kinds also
//           "test": {"file", "sha256", "root"} as librispeech-pc: the held-out items
//   all: "rate": 16000, "tokenizer": "char", "vocabulary": file, "vocabulary_sha256"
//
// The same recordings give the same bytes in every file. Lists: list_file.h. Trees and fixed
// pairs: libri.h. Spoken digits: flite_digits.h; `others` are the other speakers of similarity.
// Everything else: prepare_options.h and the table in docs/pipeline.md.
#pragma once

#include "base/result.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {

inline constexpr std::size_t kReportExamples = 5;  // ids shown for each reason

// Output "corpus". The value is the exit code: 0, or 4 when asked to stop.
[[nodiscard]] Result<int> run_prepare(const StageSpec& spec);

}  // namespace strata::trainer

// The lists that papers score by, as rows of our own:
//   librispeech-pc  LibriSpeech-PC test-clean, cross-sentence, of F5-TTS and A-DMA: six fields with
//                   tabs between: prompt, its seconds, its text, utterance, its seconds, its text
//   seed-tts        meta.lst of seed-tts-eval: utt|text, utt|text|prompt_wav,
//                   utt|prompt_text|prompt_wav|text or utt|prompt_text|prompt_wav|text|wav
//   jsonl           our list.jsonl (audio_list.h)
// Read as the original scripts do (get_librispeech_test and get_seed_tts_test of F5-TTS's
// eval/utils_eval.py, get_wav_res_ref_text.py of seed-tts-eval): white space at both ends of a line
// goes, a line ends with LF, CRLF or CR. But a row that they would skip, crash on or take for the
// row before is an error here. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "evaluator/audio_list.h"

namespace strata::evaluator {

enum class ListFormat { kJsonl, kLibriSpeechPc, kSeedTts };

[[nodiscard]] const char* name_of(ListFormat format);
// An error lists the names there are.
[[nodiscard]] Result<ListFormat> find_list_format(std::string_view name);
// By the first line that is not blank: "{" begins it: jsonl; else a tab is in it: librispeech-pc;
// else a "|" is in it: seed-tts. None of these, or tab and "|", is an error.
[[nodiscard]] Result<ListFormat> tell_list_format(std::string_view text, const std::string& name);

// The good rows in the order of the list; what is wrong with the others goes to `problems`. `audio`
// is <utterance>.wav, `prompt` as the original finds it: <speaker>/<chapter>/<prompt>.flac below
// LibriSpeech's root, or relative to the folder of meta.lst. `speaker` is the first part of a
// LibriSpeech id; seed-tts lists name none.
[[nodiscard]] std::vector<ListRow> gather_rows(ListFormat format, std::string_view text,
                                               LineProblems& problems);

}  // namespace strata::evaluator

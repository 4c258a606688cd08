// The corpora that come from LibriVox, as they lie on disk after unpacking. Each is a root with
// one folder a set, in it one a speaker, in that one a chapter:
//
//   LibriTTS         <root>/<set>/<speaker>/<chapter>/<utterance>.wav, .normalized.txt
//   LibriSpeech      <root>/<set>/<speaker>/<chapter>/<utterance>.flac,
//                    <speaker>-<chapter>.trans.txt with lines "<utterance> TEXT"
//   LibriSpeech-PC   a list of prompts and targets over one set of LibriSpeech
//
// Ids are the names of the recordings, texts are kept as they are but for white space at the ends.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/data/selection.h"

namespace strata::trainer {

enum class LibriKind { kLibriTts, kLibriSpeech };

struct LibriOptions {
  LibriKind kind = LibriKind::kLibriTts;
  std::filesystem::path root{};
  std::vector<std::string> sets{};
  int rate = kCorpusRate;  // of Candidate::samples
};

struct LibriListing {
  std::vector<Candidate> candidates{};
  std::map<std::string, std::int64_t> recordings{};  // of each set
};

// Everything there is: a recording without a transcript has no text, a transcript without a
// recording no samples. Lengths come from the headers. `seen` is called after each speaker with the
// number of utterances so far; false from it ends the work, and nothing comes. An error names the
// file, and the line where it has several.
[[nodiscard]] Result<std::optional<LibriListing>> list_libri(
    const LibriOptions& options, const std::function<Result<bool>(std::int64_t)>& seen);

// The cross-sentence list of LibriSpeech-PC test-clean: lines of six fields with a tab between,
// ends of lines LF or CRLF:
//
//   prompt, its seconds, its text, target, its seconds, its text
//
// An utterance spk-chapter-utt is <root>/spk/chapter/spk-chapter-utt.flac. Every target is a
// held-out item with the prompt of its line; what is only a prompt has that split. The list in use
// has an utterance whose text as a prompt differs from that as a target: such a prompt is an item
// of its own, "<utterance>.prompt". All are `required`. An error names the line: of fields that are
// missing, an utterance that is its own prompt or a target twice, a prompt with two texts, a
// recording that is missing or differs by more than kListedSecondsApart from what is said.
[[nodiscard]] Result<std::vector<Candidate>> list_cross_sentence(const std::filesystem::path& list,
                                                                 const std::filesystem::path& root,
                                                                 int rate);
inline constexpr double kListedSecondsApart = 0.02;

}  // namespace strata::trainer

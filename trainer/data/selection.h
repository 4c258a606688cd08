// Which recordings become a corpus, decided from their lengths and texts alone: no file is read
// here. The same candidates, options and seed give the same selection on every machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {

struct Candidate {
  std::string id{};
  std::string speaker{};
  std::optional<std::string> text{};  // none: no transcript was found
  std::vector<std::string> tokens{};  // of the text, where it came as a list
  std::filesystem::path source{};
  std::int64_t samples = 0;         // at SelectionOptions::rate; 0: there is no audio
  std::optional<double> seconds{};  // of the source itself; none: samples / rate
  bool reference = false;  // another speaker, to compare with: needs no text, never trained on
  std::optional<Split> split{};  // kTrain, kHeldout or kPrompt where the source says it
  std::string prompt{};          // id of the prompt of a held-out item where the source says it
  // Of a fixed list that is used whole or not at all: an error where it cannot be used, and no
  // limits of length.
  bool required = false;
  std::string where{};  // what errors call it ("list.lst: line 3"); empty: its id says enough
};

struct SelectionOptions {
  int rate = kCorpusRate;
  double seconds_min = 1;
  double seconds_max = 4;
  // Off: texts with unspoken signs, and those that are there already, are dropped. On: a text must
  // be there and be UTF-8 without control characters, nothing else.
  bool any_text = false;
  bool training = true;  // an error where nothing is left to train on
  std::int64_t heldout = 60;
  std::optional<std::int64_t> limit{};  // at most so many training and held-out items together
  std::int64_t references_each = 20;    // at most so many reference items of each speaker
  std::uint64_t seed = 1;
};

struct Chosen {
  Candidate candidate{};
  Split split = Split::kTrain;
};

struct Selection {
  std::vector<Chosen> kept{};                                 // ordered by id
  std::map<std::string, std::vector<std::string>> dropped{};  // reason -> ids, in order
  std::map<std::string, std::string> prompts{};               // held-out id -> id of its prompt
  // How many of them the model is trained on, for want of another held-out item of the speaker.
  std::int64_t prompts_from_training = 0;
};

// An error where fewer than one training item would be left, a held-out speaker has no second item,
// or two candidates share an id. Texts are trimmed, else kept as they are. Held-out items are drawn
// first, so `limit` never changes who is held out; a speaker gets at least two of them where the
// count and the speaker's items allow it, so that prompts need not come from training.
//
// Where any candidate says its split, all say it (references apart) and none is drawn. A held-out
// item that says no prompt gets one of its speaker: an item that is only a prompt, else a held-out
// one, else one of training.
[[nodiscard]] Result<Selection> select(std::vector<Candidate> candidates,
                                       const SelectionOptions& options);

// Why a recording with this text cannot be used ("no transcript", "not speech", "characters"), or
// nothing.
[[nodiscard]] std::optional<std::string> text_problem(const std::optional<std::string>& text);

}  // namespace strata::trainer

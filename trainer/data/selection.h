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
  std::filesystem::path source{};
  std::int64_t samples = 0;  // at kCorpusRate; 0: there is no audio
  bool reference = false;    // another speaker, to compare with: needs no text, never trained on
};

struct SelectionOptions {
  double seconds_min = 1;
  double seconds_max = 4;
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
[[nodiscard]] Result<Selection> select(std::vector<Candidate> candidates,
                                       const SelectionOptions& options);

// Why a recording with this text cannot be used ("no transcript", "not speech", "characters"), or
// nothing.
[[nodiscard]] std::optional<std::string> text_problem(const std::optional<std::string>& text);

}  // namespace strata::trainer

// The folder of recordings that the evaluator scores: list.jsonl beside wavs/ and prompts/.
//   {"id", "set", "audio", "text" or null, "prompt", "speaker", "seconds"}, paths relative to the
//   folder
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "trainer/data/manifest.h"

namespace strata::trainer {

struct AudioRow {
  std::string id{};  // of the held-out item
  std::string set{};
  std::string audio{};
  std::optional<std::string> text{};
  std::string prompt{};
  std::string speaker{};
  double seconds = 0;
};

// The held-out items to synthesize: all of them, or `count` drawn once and for all from the corpus,
// so that every run and the references are scored on the same ones. Ordered by id. An error where
// the corpus has fewer, or none, or an item has no prompt.
[[nodiscard]] Result<std::vector<const Item*>> heldout_items(const Corpus& corpus,
                                                             std::optional<std::int64_t> count);

// prompts/<id>.wav, a copy of the recording; returns the relative path.
[[nodiscard]] Result<std::string> write_prompt(const Corpus& corpus, const Item& item,
                                               const std::filesystem::path& output);

// Byte for byte; an error names both files.
[[nodiscard]] Status copy_audio(const std::filesystem::path& from, const std::filesystem::path& to);

[[nodiscard]] Status write_audio_list(const std::vector<AudioRow>& rows,
                                      const std::filesystem::path& output);

}  // namespace strata::trainer

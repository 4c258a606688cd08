// The folder of a trained model: model.safetensors, and model.json which says what makes it.
// `train` writes one, `synthesize` reads it, and so do the tools for weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "trainer/data/vocabulary.h"
#include "trainer/models/config.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {

struct WeightsFolder {
  ModelConfig model{};
  std::string vocabulary{};  // as Vocabulary::format writes it
  std::string mel_kind{};    // of base/audio/mel.h
  double mean = 0;           // of the log-mels that the model speaks: 0 and 1 are raw ones
  double deviation = 1;
  std::int64_t update = 0;  // after which it was written
  NamedTensors tensors{};   // by the names of Backbone::named_parameters
};

[[nodiscard]] Status write_weights_folder(const std::filesystem::path& folder,
                                          const WeightsFolder& weights);
[[nodiscard]] Result<WeightsFolder> read_weights_folder(const std::filesystem::path& folder);

// What model.json keeps of a vocab.txt, which byte has none of. An error where there are not `size`
// tokens.
[[nodiscard]] Result<std::string> read_vocabulary_text(
    Tokenizer tokenizer, const std::optional<std::filesystem::path>& file, std::int64_t size);
// The other way: the lines of vocab.txt, and nothing for byte.
[[nodiscard]] Result<std::optional<std::string>> vocabulary_lines(const std::string& text);

}  // namespace strata::trainer

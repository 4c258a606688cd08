// A trained model in a folder, as `train` and `export` write it and inference reads it:
//
//   model.safetensors   averaged weights of the backbone, without alignment heads
//   model.json          {"format": 1, "model": as parameters.model, with its sizes; "vocabulary":
//                       the bytes of vocab.txt; "mel": {"kind", "mean", "deviation"}, "update"}
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/audio/mel.h"
#include "trainer/data/dataset.h"
#include "trainer/data/vocabulary.h"
#include "trainer/models/backbone.h"
#include "trainer/tensor_file.h"

namespace strata::trainer {

// What inference must know beside the weights.
struct ModelDescription {
  ModelConfig model{};
  Vocabulary vocabulary;
  MelKind mel = MelKind::kHifigan;
  Normalisation normalise{};
};
// A map of "model", "vocabulary" and "mel", which reads back to the same description. An error
// begins with `where` and says what is missing or does not fit together.
[[nodiscard]] Value to_value(const ModelDescription& description);
[[nodiscard]] Result<ModelDescription> read_model_description(const Value& value,
                                                              const std::string& where);

[[nodiscard]] Status write_trained_model(const std::filesystem::path& folder,
                                         const NamedTensors& weights,
                                         const ModelDescription& description, std::int64_t update);

inline constexpr const char* kTrainedWeightsFile = "model.safetensors";

// model.json alone.
struct TrainedDescription {
  ModelDescription description;
  std::int64_t update = 0;  // after which the weights were written
};
[[nodiscard]] Result<TrainedDescription> read_trained_description(
    const std::filesystem::path& folder);

struct TrainedModel {
  std::shared_ptr<Backbone> backbone{};
  ModelDescription description;
  std::int64_t update = 0;
};
[[nodiscard]] Result<TrainedModel> load_trained_model(const std::filesystem::path& folder);

}  // namespace strata::trainer

// What `train` is asked for: `parameters` of its spec, read and checked; first by themselves, then
// against the corpus. trainer/README.md lists them.
#pragma once

#include <cstdint>
#include <optional>

#include "trainer/checkpoint_folder.h"
#include "trainer/data/dataset.h"
#include "trainer/stage_spec.h"
#include "trainer/training_loop.h"

namespace strata::trainer {

// How the corpus is brought into memory and the batches out of it: no part of the result.
struct LoadingOptions {
  std::optional<std::int64_t> memory{};  // bytes of mels and features; none: dataset_memory()
  int threads = 1;
  int batches = 2;  // that are made ahead
};

struct TrainConfig {  // before the corpus is known
  Value model{Object{}};
  Value align{};
  MelKind mel = MelKind::kHifigan;
  Normalise normalise = Normalise::kCorpus;
  bool zero_padding = false;  // else mels are padded with silence
  TrainOptions options{};
  KeepPolicy keep{};
  LoadingOptions loading{};
};
[[nodiscard]] Result<TrainConfig> read_train_config(const StageSpec& spec);

struct TrainSettings {  // all that a run is made of, checked
  ModelConfig model{};
  AlignConfig align{};
};
struct CorpusSizes {  // of what is trained on
  std::int64_t vocabulary = 0;
  std::optional<std::int64_t> feature_width{};  // nothing without features
};
// An error names the parameter that does not fit the corpus or its features. Whether the corpus
// suffices is another question: feasibility.h.
[[nodiscard]] Result<TrainSettings> read_settings(const StageSpec& spec, const TrainConfig& config,
                                                  const CorpusSizes& sizes);

}  // namespace strata::trainer

// Where training starts, other than from its seed: the input `init`, a folder of weights as
// `train`, `export` and `import` write it (trained_model.h).
//
// The backbone's parameters are the folder's, heads stay as the seed drew them; optimizer, schedule
// and update begin anew, and the average begins at the weights. What makes the function that the
// weights were trained for must be the same: sizes, switches, front end, vocabulary. Another
// dropout is no other function; other masks, and mels normalised by another corpus, are said in the
// log.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "trainer/models/acoustic_model.h"
#include "trainer/stage_spec.h"
#include "trainer/trained_model.h"

namespace strata::trainer {

// Copies the weights of `folder` into the backbone; the SHA-256 of their file, which is a part of
// the checkpoints' recipe. `wanted` is what the run is going to train.
[[nodiscard]] Result<std::string> start_from(const std::filesystem::path& folder,
                                             const ModelDescription& wanted, AcousticModel& model);

// Of two vocabularies, for people: "token 3 is 'b' here, 'c' there". Nothing where they are equal.
[[nodiscard]] std::optional<std::string> vocabulary_difference(const Vocabulary& here,
                                                               const Vocabulary& there);

// `strata-trainer import SPEC.json`: the stage that makes such a folder. `parameters.init` is
//   {"weights": a folder of weights, "sha256": of its model.safetensors}, which is copied; or
//   {"weights": a file, "sha256", "vocabulary", "tokenizer", "generation", ...}, which is imported
//   as `strata-trainer weights` does (weights_exchange.h), with `parameters.mel`.
// sha256 may be absent; where it is there, another file is refused. Output: weights.
[[nodiscard]] Result<int> run_import(const StageSpec& spec);

}  // namespace strata::trainer

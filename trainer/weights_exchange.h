// Weights of F5-TTS, E2-TTS and A-DMA in and out, as safetensors. docs/models.md, "Official
// weights", has the keys of the requests and what is in the reports.
#pragma once

#include "base/value.h"

namespace strata::trainer {

// {"weights": file, "vocabulary": file, "tokenizer": of data/vocabulary.h, "output": folder, "mel":
// "vocos" or "bigvgan", and the choices of config_of_shapes}. Writes a folder as `train` does. The
// report accounts for every key of the file; one that is unknown, missing or misshapen, and a value
// that is no number, is an error that names it.
[[nodiscard]] Result<Value> import_weights(const Value& request);

// {"weights": folder of a trained model, "output": file, "vocabulary": file to write or null}. The
// file is what F5-TTS's load_checkpoint takes; the report has the class and the arguments that make
// the model there, and under "beware" what it cannot carry.
[[nodiscard]] Result<Value> export_weights(const Value& request);

// {"weights": folder, "inputs": file, "output": file, "drop_audio", "drop_text", "dtype"}: the
// velocity of given inputs, to compare with another implementation. Inputs: x and cond (B, N, mel),
// text (B, T) int64 padded with -1, time (B), and mask (B, N) bool where padding is to be told.
// Output: velocity (B, N, mel).
[[nodiscard]] Result<Value> forward_weights(const Value& request);

}  // namespace strata::trainer

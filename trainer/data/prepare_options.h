// What `prepare` reads from parameters.corpus; the table is in docs/pipeline.md.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/value.h"
#include "trainer/data/asterisk.h"
#include "trainer/data/flite_digits.h"
#include "trainer/data/libri.h"
#include "trainer/data/selection.h"
#include "trainer/data/vocabulary.h"

namespace strata::trainer {

inline constexpr int kCorpusRateMin = 8'000;  // Hz
inline constexpr int kCorpusRateMax = 192'000;
// What the reference trains on (F5-TTS: prepare_libritts).
inline constexpr double kLibriSecondsMin = 0.4;
inline constexpr double kLibriSecondsMax = 30;

// A file that decides by its bytes and not by its path.
struct PinnedFile {
  std::filesystem::path path{};
  std::string sha256{};  // empty: whatever it holds
};

// The fixed prompts and targets of LibriSpeech-PC.
struct TestList {
  PinnedFile list{};
  std::filesystem::path root{};  // of the set that it speaks of
};

struct PrepareOptions {
  std::string kind{};
  SelectionOptions selection{};  // its rate is that of the corpus
  Tokenizer tokenizer = Tokenizer::kChar;
  std::optional<PinnedFile> vocabulary{};  // none: made from the texts
  AsteriskOptions asterisk{};
  FliteDigitsOptions flite{};
  PinnedFile list{};
  LibriOptions libri{};
  std::optional<TestList> test{};
  bool heldout_said = false;  // a number of held-out items to draw, not 0
};

// An error names the parameter by its path.
[[nodiscard]] Result<PrepareOptions> read_prepare_options(const Value& parameters);

}  // namespace strata::trainer

// What a judge is to the scoring loop: a model that hears a recording. All of them hear mono
// samples at 16 kHz, one recording at a time, so that no score depends on what else is scored. No
// torch here: tests give their own.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "evaluator/core/report.h"

namespace strata::evaluator {

inline constexpr int kJudgeRate = 16'000;  // Hz

using Samples = std::span<const float>;

struct Transcript {
  std::string text{};
  std::vector<std::int64_t> tokens{};  // without what follows the end of text; windows joined
  double no_speech_prob = 0;           // of the first window
  int windows = 1;
};

class AsrJudge {
 public:
  virtual ~AsrJudge() = default;
  [[nodiscard]] virtual const JudgeInfo& info() const = 0;
  // One transcript for each recording, in order; recordings longer than a window are cut at quiet
  // places, never dropped.
  [[nodiscard]] virtual Result<std::vector<Transcript>> transcribe(
      std::span<const Samples> recordings) = 0;
};

class SpeakerJudge {
 public:
  virtual ~SpeakerJudge() = default;
  [[nodiscard]] virtual const JudgeInfo& info() const = 0;
  // Finite and not all zero; need not have unit length.
  [[nodiscard]] virtual Result<std::vector<float>> embed(Samples recording) = 0;
};

class MosJudge {
 public:
  virtual ~MosJudge() = default;
  [[nodiscard]] virtual const JudgeInfo& info() const = 0;
  [[nodiscard]] virtual Result<double> rate(Samples recording) = 0;
};

// Those that a spec names; the others are null, and their scores absent.
struct Judges {
  std::unique_ptr<AsrJudge> asr{};
  std::unique_ptr<SpeakerJudge> speaker{};
  std::unique_ptr<MosJudge> mos{};
};

// Cosine of the angle, in double. REQUIRES: equal sizes, neither all zero.
[[nodiscard]] double cosine(std::span<const float> a, std::span<const float> b);

}  // namespace strata::evaluator

// A tiny corpus and a tiny model for tests: deterministic, without audio.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/torch/runtime.h"
#include "base/torch/torch.h"
#include "trainer/data/batch.h"
#include "trainer/models/acoustic_model.h"

namespace strata::trainer {

// Tests run on one thread, like a rank: bit-exactness is promised for that, and spinning threads
// cost more than they give.
inline const bool kOneThread = set_up_torch(1).has_value();

inline ModelConfig tiny_config() {
  ModelConfig config;
  config.dim = 32;
  config.depth = 3;
  config.heads = 2;
  config.dim_head = 16;
  config.mel = 8;
  config.vocabulary = 10;
  config.text_dim = 16;
  config.conv_layers = 2;
  config.dropout = 0;
  return config;
}

inline AlignConfig tiny_align() {
  AlignConfig align;
  align.text = {{.layer = 1}};
  align.speech = {{.layer = 2}};
  align.speech_width = 6;
  align.hidden = 16;
  return align;
}

// Mels are slow waves whose frequency depends on the text, so that there is something to learn.
inline std::vector<Utterance> synthetic_utterances(std::size_t count, std::uint64_t seed) {
  std::vector<Utterance> utterances;
  Random random(seed);
  for (std::size_t i = 0; i < count; ++i) {
    const auto frames = static_cast<std::int64_t>(24 + random.bounded(16));
    Utterance utterance;
    utterance.id = "utt-" + std::to_string(seed) + "-" + std::to_string(i);
    for (std::uint64_t letters = 3 + random.bounded(4); letters > 0; --letters) {
      utterance.text.push_back(static_cast<std::int64_t>(random.bounded(10)));
    }
    const double pitch = 0.1 + 0.05 * static_cast<double>(utterance.text.front());
    utterance.mel = at::empty({frames, 8}, at::kFloat);
    utterance.features = at::empty({frames / 2, 6}, at::kFloat);
    float* mel = utterance.mel.data_ptr<float>();
    for (std::int64_t j = 0; j < frames * 8; ++j) {
      mel[j] = static_cast<float>(
          std::sin(pitch * static_cast<double>(j / 8) + 0.7 * static_cast<double>(j % 8)));
    }
    float* features = utterance.features.data_ptr<float>();
    for (std::int64_t j = 0; j < frames / 2 * 6; ++j) {
      features[j] = static_cast<float>(
          std::cos(2 * pitch * static_cast<double>(j / 6) + static_cast<double>(j % 6)));
    }
    utterance.seconds = static_cast<double>(frames) / 86;
    utterances.push_back(std::move(utterance));
  }
  return utterances;
}

inline std::vector<const Utterance*> pointers(const std::vector<Utterance>& utterances) {
  std::vector<const Utterance*> list;
  for (const Utterance& utterance : utterances) list.push_back(&utterance);
  return list;
}

}  // namespace strata::trainer

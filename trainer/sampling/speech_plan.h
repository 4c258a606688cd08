// What is said in one go and how long it will take, before any tensor is touched: how a prompt's
// text and new text are joined, long texts cut into chunks, and the chunks' sounds put together.
// Source: F5-TTS, infer/utils_infer.py and eval/utils_eval.py.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/sampling/grid.h"

namespace strata::trainer {

// How a prompt's text and the new one become one.
//   kSpace   a space between them
//   kCli     a space where the prompt's text ends in a letter of one byte (infer_process)
//   kEval    the same, and one more before the new text (eval_infer_batch on LibriSpeech-PC)
enum class Join { kSpace, kCli, kEval };

// How long new speech is: that of the real recording, by the ratio of bytes to frames in the
// prompt, or so that prompt and speech together last given seconds.
enum class Length { kReal, kRule, kSeconds };

// How many frames of a recording count: all of its mel, or samples / hop as A-DMA has it, which for
// a centred mel is one fewer.
enum class FrameCount { kMel, kHop };

inline constexpr double kCrossFadeMax = 10;      // s
inline constexpr double kChunkSecondsMax = 600;  // prompt and speech of one chunk
inline constexpr double kSpeedMin = 0.05;
inline constexpr double kSpeedMax = 20;
inline constexpr double kPromptRmsMax = 1;

struct SpeechRules {
  Length length = Length::kReal;
  double seconds = 0;  // kSeconds: prompt included
  double speed = 1;
  Join join = Join::kSpace;
  FrameCount frames = FrameCount::kMel;
  // A prompt that is less loud is raised to this root mean square, and the speech lowered again by
  // the same factor; 0: it is taken as it is.
  double prompt_rms = 0;
  // Prompt and chunk are to last about so long, at the prompt's pace; nothing: one chunk.
  std::optional<double> chunk_seconds{};
  double cross_fade = 0.15;  // s, between chunks
  std::int64_t frames_max = kDurationMax;
};

struct Prompt {
  std::string text{};
  double seconds = 0;       // of the recording
  std::int64_t frames = 0;  // as FrameCount says
};

struct Chunk {
  std::string text{};       // prompt's and new, joined
  std::int64_t frames = 0;  // prompt included, before the bounds of bounded_duration()
};

// The chunks of `text`. `real_frames`: of the recording, for Length::kReal. `frames_per_second` of
// the mel. REQUIRES: a length that is not kReal where chunk_seconds is set.
[[nodiscard]] std::vector<Chunk> plan_speech(const SpeechRules& rules, const Prompt& prompt,
                                             std::string_view text, std::int64_t real_frames,
                                             double frames_per_second);

// Sentences end behind ;:,.!? with white space after it, and behind their full-width forms; as many
// as fit into `bytes_max` bytes make a chunk, a longer one is a chunk of its own. Nothing is lost
// but white space at the seams.
[[nodiscard]] std::vector<std::string> chunk_text(std::string_view text, std::int64_t bytes_max);

// One after the other; `overlap` samples of neighbours, or as many as they have, fade linearly.
[[nodiscard]] std::vector<float> cross_fade(std::span<const std::vector<float>> chunks,
                                            std::int64_t overlap);

// What the prompt is to be multiplied with: target / its root mean square, 1 where that is reached.
[[nodiscard]] float prompt_gain(std::span<const float> samples, double target);

}  // namespace strata::trainer

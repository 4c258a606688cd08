#include "trainer/sampling/speech_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/assert.h"
#include "base/utf8.h"

namespace strata::trainer {
namespace {

constexpr std::u32string_view kEnds = U";:,.!?";
constexpr std::u32string_view kWideEnds = U"；：，。！？";

// As Python's str.isspace and \s have it.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

std::u32string_view stripped(std::u32string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::u32string> sentences_of(const std::u32string& text) {
  std::vector<std::u32string> sentences(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool wide = i > 0 && kWideEnds.find(text[i - 1]) != kWideEnds.npos;
    const bool narrow = i > 0 && kEnds.find(text[i - 1]) != kEnds.npos && is_space(text[i]);
    if (wide || narrow) sentences.emplace_back();
    if (narrow) {
      while (i < text.size() && is_space(text[i])) ++i;
      if (i == text.size()) break;
    }
    sentences.back().push_back(text[i]);
  }
  return sentences;
}

// Before anything that follows it.
std::u32string with_space(std::u32string sentence) {
  if (!sentence.empty() && sentence.back() < 0x80) sentence.push_back(U' ');
  return sentence;
}

// The prompt's text as it stands before new text.
std::string joined_prompt(const std::string& text, Join join) {
  const bool one_byte = !text.empty() && static_cast<unsigned char>(text.back()) < 0x80;
  return join == Join::kSpace || one_byte ? text + " " : text;
}

}  // namespace

std::vector<std::string> chunk_text(std::string_view text, std::int64_t bytes_max) {
  std::vector<std::string> chunks;
  std::u32string current;
  const auto flush = [&] {
    const std::u32string_view chunk = stripped(current);
    if (!chunk.empty()) chunks.push_back(encode_utf8(chunk));
    current.clear();
  };
  for (std::u32string& sentence : sentences_of(decode_utf8_lossy(text))) {
    const std::size_t bytes = encode_utf8(current).size() + encode_utf8(sentence).size();
    if (static_cast<std::int64_t>(bytes) > bytes_max) flush();
    current += with_space(std::move(sentence));
  }
  flush();
  return chunks;
}

std::vector<Chunk> plan_speech(const SpeechRules& rules, const Prompt& prompt,
                               std::string_view text, std::int64_t real_frames,
                               double frames_per_second) {
  std::vector<std::string> texts{std::string(text)};
  if (rules.chunk_seconds) {
    STRATA_ASSERT(rules.length != Length::kReal);
    const double pace = static_cast<double>(prompt.text.size()) / prompt.seconds;
    texts = chunk_text(text, static_cast<std::int64_t>(
                                 pace * (*rules.chunk_seconds - prompt.seconds) * rules.speed));
    if (texts.empty()) texts.emplace_back(text);
  }
  const std::string before = joined_prompt(prompt.text, rules.join);
  if (rules.join == Join::kEval) {
    for (std::string& one : texts) one.insert(one.begin(), ' ');
  }
  const auto bytes = [](const std::string& one) { return static_cast<double>(one.size()); };
  const double all = std::transform_reduce(texts.begin(), texts.end(), 0.0, std::plus<>(), bytes);
  // What the chunks may last together: the seams are heard once.
  const double prompt_seconds = static_cast<double>(prompt.frames) / frames_per_second;
  const double seconds =
      rules.seconds - prompt_seconds + rules.cross_fade * static_cast<double>(texts.size() - 1);
  std::vector<Chunk> chunks;
  for (const std::string& one : texts) {
    Chunk chunk{.text = before + one};
    switch (rules.length) {
      case Length::kReal: chunk.frames = prompt.frames + real_frames; break;
      case Length::kRule:
        chunk.frames = estimated_duration(prompt.frames, before, one, rules.speed);
        break;
      case Length::kSeconds: {
        const double total =
            texts.size() == 1 ? rules.seconds : prompt_seconds + seconds * bytes(one) / all;
        chunk.frames = static_cast<std::int64_t>(total * frames_per_second);
        break;
      }
    }
    chunks.push_back(std::move(chunk));
  }
  return chunks;
}

std::vector<float> cross_fade(std::span<const std::vector<float>> chunks, std::int64_t overlap) {
  std::vector<float> all;
  for (const std::vector<float>& next : chunks) {
    const std::size_t shared =
        std::min({static_cast<std::size_t>(overlap), all.size(), next.size()});
    const std::size_t begin = all.size() - shared;
    for (std::size_t i = 0; i < shared; ++i) {
      // From 0 to 1 with both ends; one sample alone stays the old one.
      const double in =
          shared == 1 ? 0.0 : static_cast<double>(i) / static_cast<double>(shared - 1);
      all[begin + i] = static_cast<float>(static_cast<double>(all[begin + i]) * (1 - in) +
                                          static_cast<double>(next[i]) * in);
    }
    all.insert(all.end(), next.begin() + static_cast<std::ptrdiff_t>(shared), next.end());
  }
  return all;
}

float prompt_gain(std::span<const float> samples, double target) {
  if (samples.empty() || target <= 0) return 1;
  const double squares = std::transform_reduce(
      samples.begin(), samples.end(), 0.0, std::plus<>(),
      [](float x) { return static_cast<double>(x) * static_cast<double>(x); });
  const double rms = std::sqrt(squares / static_cast<double>(samples.size()));
  return rms > 0 && rms < target ? static_cast<float>(target / rms) : 1;
}

}  // namespace strata::trainer

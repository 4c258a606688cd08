// What the evaluator reads: texts of any kind, lines of an earlier run, token ids of a recognizer,
// sound files.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/audio/audio_file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "evaluator/core/edit_distance.h"
#include "evaluator/core/normalizer.h"
#include "evaluator/core/report.h"
#include "evaluator/core/vocabulary.h"
#include "tests/fuzz/targets.h"

namespace strata::fuzz {
namespace {

using evaluator::Counts;

void check_counts(const Counts& counts, const Counts& reverse) {
  STRATA_ASSERT(counts.reference_length() == counts.hits + counts.substitutions + counts.deletions);
  STRATA_ASSERT(counts.errors() == reverse.errors());  // the total has no direction
}

// Two texts, the one before and the one behind the first line end, through one normalizer.
std::string counted(evaluator::Protocol protocol, std::string_view a, std::string_view b) {
  const auto reference = evaluator::normalize(protocol, a);
  const auto hypothesis = evaluator::normalize(protocol, b);
  if (!reference) return reference.error().message;
  if (!hypothesis) return hypothesis.error().message;
  STRATA_ASSERT(is_valid_utf8(*reference) && is_valid_utf8(*hypothesis));
  const auto words = evaluator::count_words(*reference, *hypothesis);
  const auto characters = evaluator::count_characters(*reference, *hypothesis);
  STRATA_ASSERT(words.has_value() && characters.has_value());
  check_counts(*words, *evaluator::count_words(*hypothesis, *reference));
  check_counts(*characters, *evaluator::count_characters(*hypothesis, *reference));
  STRATA_ASSERT(evaluator::count_words(*reference, *reference)->errors() == 0);
  return words->errors() == 0 ? "equal" : "errors";
}

}  // namespace

std::string run_words(std::string_view input) {
  const std::size_t end = std::min(input.find('\n'), input.size());
  const std::string_view a = input.substr(0, end);
  const std::string_view b = input.substr(std::min(end + 1, input.size()));
  std::string said;
  for (const auto& info : evaluator::protocols()) said += counted(info.protocol, a, b) + ", ";
  return said;
}

std::string run_utterance(std::string_view input) {
  const auto value = parse_json(input);
  if (!value) return value.error().message;
  const auto line = evaluator::utterance_score_from(*value);
  if (!line) return line.error().message;
  const auto again = evaluator::utterance_score_from(evaluator::to_value(*line));
  STRATA_ASSERT(again.has_value());
  STRATA_ASSERT(*again == *line);
  return line->hypothesis ? "a line with words" : "a line";
}

// A vocabulary, and behind the first line end the ids, a byte each; the last one is the end.
std::string run_tokens(std::string_view input) {
  const std::size_t end = std::min(input.find('\n'), input.size());
  const auto vocabulary = evaluator::Vocabulary::parse(input.substr(0, end));
  if (!vocabulary) return vocabulary.error().message;
  std::vector<std::int64_t> ids;
  for (const char c : input.substr(std::min(end + 1, input.size()))) ids.push_back(c);
  const std::int64_t stop = ids.empty() ? 0 : ids.back();
  const auto text = vocabulary->decode(ids, stop);
  if (!text) return text.error().message;
  STRATA_ASSERT(is_valid_utf8(*text));
  return "a text";
}

// Of the containers of speech corpora: whatever else it is, libsndfile takes for MP3, whose decoder
// prints what it thinks of it.
std::string run_sound(std::string_view input) {
  constexpr std::array<std::string_view, 4> kContainers{"RIFF", "fLaC", "OggS", "FORM"};
  const bool known = std::ranges::any_of(
      kContainers, [&](std::string_view magic) { return input.starts_with(magic); });
  if (!known) return "another container";
  const int file = ::memfd_create("sound", 0);
  STRATA_ASSERT(file >= 0);
  STRATA_ASSERT(::write(file, input.data(), input.size()) == std::ssize(input));
  const std::string path = fmt::format("/proc/self/fd/{}", file);
  const auto length = read_audio_length(path);
  const auto audio = read_audio(path);
  ::close(file);
  if (!audio) return audio.error().message;
  STRATA_ASSERT(length.has_value());
  for (const float sample : audio->samples) STRATA_ASSERT(sample == sample);
  return "a sound";
}

}  // namespace strata::fuzz

#include "trainer/data/flite_digits.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/assert.h"
#include "base/audio/audio_file.h"
#include "base/files.h"
#include "base/random.h"
#include "base/subprocess.h"
#include "trainer/data/debian_package.h"

namespace strata::trainer {
namespace {

constexpr std::array<std::string_view, 10> kWords{"zero", "one", "two",   "three", "four",
                                                  "five", "six", "seven", "eight", "nine"};
// The program, and the library that holds the voices.
constexpr std::array<const char*, 2> kPackages{"flite", "libflite1"};
constexpr std::string_view kVoicesHeading = "Voices available:";
constexpr std::size_t kSpeakBlock = 16;  // utterances between two looks at whether to stop

std::int64_t strings_of_length(std::int64_t digits) {
  std::int64_t count = 1;
  for (std::int64_t i = 0; i < digits; ++i) count *= 10;
  return count;
}

Status check_voices(const FliteDigitsOptions& options) {
  auto listing = run_captured({.argv = {"flite", "-lv"}});
  if (!listing) return tl::unexpected(listing.error().while_doing("asking flite for its voices"));
  if (!listing->exit.ok())
    return fail(ErrorCode::kUnavailable, "flite -lv: {}", listing->exit.describe());
  const std::vector<std::string> there = parse_voices(listing->output);
  for (const auto* wanted : {&options.voices, &options.others}) {
    for (const std::string& voice : *wanted) {
      if (std::ranges::binary_search(there, voice)) continue;
      return fail(ErrorCode::kInvalid,
                  "parameters.corpus.{}: flite has no voice \"{}\" built in; it has {}",
                  wanted == &options.voices ? "voices" : "others", voice, fmt::join(there, ", "));
    }
  }
  return {};
}

Candidate to_speak(const std::string& voice, const std::string& digits, bool reference,
                   const std::filesystem::path& scratch) {
  const std::string id = voice + "-" + digits;
  return {.id = id,
          .speaker = voice,
          .text = spell_digits(digits),
          .source = scratch / (id + ".wav"),
          .reference = reference};
}

Status speak(Candidate& candidate) {
  const std::string file = candidate.source.string();
  STRATA_TRY(const Captured done, run_captured({.argv = {"flite", "-voice", candidate.speaker, "-t",
                                                         *candidate.text, "-o", file}}));
  if (!done.exit.ok()) {
    return fail(ErrorCode::kUnavailable, "flite speaking \"{}\" as {}: {}", *candidate.text,
                candidate.speaker, done.exit.describe());
  }
  STRATA_TRY(const Audio audio, read_audio(candidate.source));
  candidate.samples = (std::ssize(audio.samples) * kCorpusRate + audio.rate - 1) / audio.rate;
  return {};
}

}  // namespace

std::int64_t possible_strings(std::int64_t digits_min, std::int64_t digits_max) {
  STRATA_ASSERT(1 <= digits_min);
  STRATA_ASSERT(digits_min <= digits_max);
  STRATA_ASSERT(digits_max <= kDigitsMax);
  std::int64_t count = 0;
  for (std::int64_t digits = digits_min; digits <= digits_max; ++digits)
    count += strings_of_length(digits);
  return count;
}

std::vector<std::string> draw_digits(std::int64_t count, std::int64_t digits_min,
                                     std::int64_t digits_max, std::uint64_t seed) {
  STRATA_ASSERT(count <= possible_strings(digits_min, digits_max));
  Random random(derive_seed(seed, "digits"));
  std::vector<std::int64_t> lengths;
  for (std::int64_t digits = digits_min; digits <= digits_max; ++digits) lengths.push_back(digits);
  std::vector<std::string> drawn;
  std::map<std::int64_t, std::set<std::string>> seen;
  while (std::ssize(drawn) < count) {
    const std::size_t which = random.bounded(lengths.size());
    const std::int64_t length = lengths[which];
    std::string digits;
    for (std::int64_t i = 0; i < length; ++i)
      digits.push_back(static_cast<char>('0' + random.bounded(10)));
    std::set<std::string>& of_length = seen[length];
    if (!of_length.insert(digits).second) continue;
    drawn.push_back(digits);
    if (std::ssize(of_length) == strings_of_length(length))
      lengths.erase(lengths.begin() + static_cast<std::ptrdiff_t>(which));
  }
  return drawn;
}

std::string spell_digits(std::string_view digits) {
  std::string text;
  for (const char digit : digits) {
    STRATA_ASSERT('0' <= digit);
    STRATA_ASSERT(digit <= '9');
    if (!text.empty()) text += ' ';
    text += kWords[static_cast<std::size_t>(digit - '0')];
  }
  return text;
}

std::vector<std::string> parse_voices(std::string_view listing) {
  std::vector<std::string> voices;
  const std::size_t heading = listing.find(kVoicesHeading);
  if (heading == std::string_view::npos) return voices;
  listing.remove_prefix(heading + kVoicesHeading.size());
  std::string name;
  for (const char c : listing) {
    const bool white = c == ' ' || c == '\t' || c == '\r' || c == '\n';
    if (!white) name += c;
    if (white && !name.empty()) voices.push_back(std::exchange(name, {}));
  }
  if (!name.empty()) voices.push_back(name);
  std::ranges::sort(voices);
  return voices;
}

Result<FliteListing> list_flite_digits(const FliteDigitsOptions& options,
                                       const std::filesystem::path& scratch) {
  const std::int64_t possible = possible_strings(options.digits_min, options.digits_max);
  const std::int64_t wanted = std::ssize(options.voices) * options.utterances;
  const std::int64_t most = std::max(wanted, options.others.empty() ? 0 : options.references_each);
  if (most > possible) {
    return fail(ErrorCode::kInvalid,
                "parameters.corpus: {} different strings of {} to {} digits are wanted ({} voices, "
                "{} utterances each, no string twice; {} references), there are {}: ask for fewer "
                "utterances or more digits",
                most, options.digits_min, options.digits_max, options.voices.size(),
                options.utterances, options.references_each, possible);
  }
  FliteListing listing;
  for (const char* package : kPackages) {
    STRATA_TRY(listing.packages[package], pinned_version(package, options.version));
  }
  STRATA_CHECK_OK(check_voices(options));

  const auto texts = draw_digits(wanted, options.digits_min, options.digits_max, options.seed);
  // In turn, so that every voice has the same mixture of lengths.
  for (std::size_t i = 0; i < texts.size(); ++i) {
    listing.candidates.push_back(
        to_speak(options.voices[i % options.voices.size()], texts[i], false, scratch));
  }
  for (const std::string& voice : options.others) {
    const std::uint64_t seed = derive_seed(options.seed, "references/" + voice);
    for (const std::string& digits :
         draw_digits(options.references_each, options.digits_min, options.digits_max, seed))
      listing.candidates.push_back(to_speak(voice, digits, true, scratch));
  }
  return listing;
}

Result<bool> speak_all(std::vector<Candidate>& candidates,
                       const std::function<Result<bool>(std::int64_t)>& spoken) {
  if (!candidates.empty()) STRATA_CHECK_OK(make_folder(candidates.front().source.parent_path()));
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    STRATA_CHECK_OK(speak(candidates[i]));
    const std::size_t done = i + 1;
    if (done % kSpeakBlock != 0 && done != candidates.size()) continue;
    STRATA_TRY(const bool go_on, spoken(static_cast<std::int64_t>(done)));
    if (!go_on) return false;
  }
  return true;
}

}  // namespace strata::trainer

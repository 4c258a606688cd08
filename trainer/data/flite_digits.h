// Spoken digits: strings of digit words ("four seven one"), spoken by voices that are built into
// Debian's flite. A domain so small that minutes of it hold every word many times, and of which as
// much can be made as is wanted. Texts depend on the options alone; flite gives the same bytes for
// the same text (checked by a test).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "trainer/data/selection.h"

namespace strata::trainer {

inline constexpr std::int64_t kDigitsMax = 12;           // of one utterance
inline constexpr std::int64_t kUtterancesMax = 100'000;  // of all voices together

struct FliteDigitsOptions {
  std::vector<std::string> voices{};  // they speak what is trained on and held out
  std::vector<std::string> others{};  // voices whose recordings become references
  std::int64_t digits_min = 3;
  std::int64_t digits_max = 5;
  std::int64_t utterances = 0;        // of each voice
  std::int64_t references_each = 20;  // of each of `others`
  std::uint64_t seed = 1;             // of the texts
  std::string version{};              // of the packages flite and libflite1
};

struct FliteListing {
  std::vector<Candidate> candidates{};            // not spoken yet: `samples` is 0
  std::map<std::string, std::string> packages{};  // name -> installed version
};

// How many strings of digits_min to digits_max digits there are. REQUIRES: 1 <= min <= max <=
// kDigitsMax.
[[nodiscard]] std::int64_t possible_strings(std::int64_t digits_min, std::int64_t digits_max);

// `count` different strings of '0'..'9' in the order drawn. Every length is equally likely until
// none of it is left. REQUIRES: count <= possible_strings(min, max).
[[nodiscard]] std::vector<std::string> draw_digits(std::int64_t count, std::int64_t digits_min,
                                                   std::int64_t digits_max, std::uint64_t seed);

// "471" -> "four seven one". REQUIRES: only '0'..'9'.
[[nodiscard]] std::string spell_digits(std::string_view digits);

// The names in what `flite -lv` prints, sorted.
[[nodiscard]] std::vector<std::string> parse_voices(std::string_view listing);

// What is to be spoken into `scratch`/<id>.wav. No text is there twice among `voices`, so a
// held-out text is never trained on. kInvalid where a package is missing or of another version,
// where flite has no such voice, or where there are fewer strings than utterances wanted.
[[nodiscard]] Result<FliteListing> list_flite_digits(const FliteDigitsOptions& options,
                                                     const std::filesystem::path& scratch);

// Speaks every candidate into its source and fills in `samples`. `spoken` is called after each
// block with the number done so far; false from it ends the work, and the value is then false.
[[nodiscard]] Result<bool> speak_all(std::vector<Candidate>& candidates,
                                     const std::function<Result<bool>(std::int64_t)>& spoken);

}  // namespace strata::trainer

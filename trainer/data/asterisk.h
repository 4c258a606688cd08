// The telephone prompts that Debian packages as asterisk-core-sounds-*: real speech, studio
// quality, 16 kHz as G.722. Only files that the packages list are looked at, so that what else lies
// in the folder cannot change a corpus.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "trainer/data/selection.h"

namespace strata::trainer {

// Files for one ffmpeg process: starting one for each would cost 60 ms a file.
inline constexpr std::size_t kDecodeBatch = 32;

struct AsteriskOptions {
  std::string language = "en";
  std::vector<std::string> others{};  // languages whose speakers become references
  std::string version{};              // the package version that the corpus is pinned to
};

struct AsteriskListing {
  std::vector<Candidate> candidates{};
  std::map<std::string, std::string> packages{};  // name -> installed version
};

// Asks dpkg-query. kInvalid where a package is missing or has another version than the pinned one;
// the message says what to do.
[[nodiscard]] Result<AsteriskListing> list_asterisk(const AsteriskOptions& options);

// "name: text" lines; ';' begins a comment. Names are paths below the speaker's folder without an
// extension.
[[nodiscard]] std::map<std::string, std::string> parse_transcripts(std::string_view text);

// Raw G.722 files to samples at kCorpusRate, in the order given, through ffmpeg. `scratch` is a
// folder for its output.
[[nodiscard]] Result<std::vector<std::vector<float>>> decode_g722(
    const std::vector<std::filesystem::path>& files, const std::filesystem::path& scratch);

}  // namespace strata::trainer

#include "trainer/data/asterisk.h"

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "base/files.h"
#include "base/subprocess.h"
#include "trainer/data/debian_package.h"

namespace strata::trainer {
namespace {

// G.722 at 64 kbit/s: every byte holds two samples.
constexpr std::int64_t kSamplesPerByte = 2;

std::string sounds_package(const std::string& language) {
  return fmt::format("asterisk-core-sounds-{}-g722", language);
}

Result<std::string> output_of(const std::vector<std::string>& argv) {
  STRATA_TRY(Captured captured, run_captured({.argv = argv}));
  if (!captured.exit.ok())
    return fail(ErrorCode::kUnavailable, "{}: {}", fmt::join(argv, " "), captured.exit.describe());
  return std::move(captured.output);
}

Result<std::vector<std::filesystem::path>> files_of(const std::string& package,
                                                    std::string_view extension) {
  STRATA_TRY(const std::string listing, output_of({"dpkg-query", "-L", package}));
  std::vector<std::filesystem::path> files;
  for (std::size_t at = 0; at < listing.size();) {
    const std::size_t end = std::min(listing.find('\n', at), listing.size());
    const std::string_view line(listing.data() + at, end - at);
    if (line.ends_with(extension)) files.emplace_back(line);
    at = end + 1;
  }
  std::ranges::sort(files);
  return files;
}

Result<std::map<std::string, std::string>> transcripts_of(const std::string& language) {
  const std::string package = "asterisk-core-sounds-" + language;
  const std::string name = fmt::format("core-sounds-{}.txt.gz", language);
  STRATA_TRY(const auto files, files_of(package, "/" + name));
  if (files.empty())
    return fail(ErrorCode::kInvalid, "the Debian package {} lists no {}", package, name);
  STRATA_TRY(const std::string text, output_of({"zcat", files.front().string()}));
  return parse_transcripts(text);
}

// .../sounds/<speaker>/<name>.g722 -> speaker and name.
Result<std::pair<std::string, std::string>> speaker_and_name(const std::filesystem::path& file) {
  const auto sounds = std::ranges::find(file, "sounds");
  if (sounds == file.end() || std::next(sounds) == file.end()) {
    return fail(ErrorCode::kInvalid, "{} does not lie below a sounds/<speaker> folder",
                file.string());
  }
  const auto speaker = std::next(sounds);
  std::filesystem::path name;
  for (auto part = std::next(speaker); part != file.end(); ++part) name /= *part;
  return std::pair{speaker->string(), name.replace_extension().generic_string()};
}

std::string make_id(const std::string& language, std::string name) {
  std::ranges::replace(name, '/', '.');
  return language + "-" + name;
}

Status list_language(const std::string& language, bool reference, const AsteriskOptions& options,
                     AsteriskListing& listing) {
  const std::string package = sounds_package(language);
  STRATA_TRY(listing.packages[package], pinned_version(package, options.version));
  std::map<std::string, std::string> transcripts;
  if (!reference) {
    const std::string texts = "asterisk-core-sounds-" + language;
    STRATA_TRY(listing.packages[texts], pinned_version(texts, options.version));
    STRATA_TRY(transcripts, transcripts_of(language));
  }
  STRATA_TRY(const auto files, files_of(package, ".g722"));
  std::set<std::string> seen;
  std::string last_speaker;
  for (const std::filesystem::path& file : files) {
    STRATA_TRY(const auto named, speaker_and_name(file));
    const auto& [speaker, name] = named;
    Candidate candidate{
        .id = make_id(language, name), .speaker = speaker, .source = file, .reference = reference};
    if (!is_item_id(candidate.id))
      return fail(ErrorCode::kInvalid, "{}: its name cannot be an id", file.string());
    std::error_code error;
    const auto bytes = std::filesystem::file_size(file, error);
    if (error)
      return fail(ErrorCode::kInvalid, "{}: {}; install {} again", file.string(), error.message(),
                  package);
    candidate.samples = static_cast<std::int64_t>(bytes) * kSamplesPerByte;
    if (const auto text = transcripts.find(name); text != transcripts.end())
      candidate.text = text->second;
    seen.insert(name);
    last_speaker = speaker;
    listing.candidates.push_back(std::move(candidate));
  }
  for (const auto& [name, text] : transcripts) {
    if (seen.contains(name)) continue;
    listing.candidates.push_back(
        {.id = make_id(language, name), .speaker = last_speaker, .text = text});
  }
  return {};
}

}  // namespace

Result<AsteriskListing> list_asterisk(const AsteriskOptions& options) {
  AsteriskListing listing;
  STRATA_CHECK_OK(list_language(options.language, false, options, listing));
  for (const std::string& other : options.others)
    STRATA_CHECK_OK(list_language(other, true, options, listing));
  return listing;
}

std::map<std::string, std::string> parse_transcripts(std::string_view text) {
  std::map<std::string, std::string> transcripts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t colon = line.find(": ");
    if (line.starts_with(';') || colon == std::string_view::npos) continue;
    transcripts.emplace(line.substr(0, colon), line.substr(colon + 2));
  }
  return transcripts;
}

Result<std::vector<std::vector<float>>> decode_g722(const std::vector<std::filesystem::path>& files,
                                                    const std::filesystem::path& scratch) {
  STRATA_CHECK_OK(make_folder(scratch));
  std::vector<std::vector<float>> decoded;
  for (std::size_t first = 0; first < files.size(); first += kDecodeBatch) {
    const std::size_t count = std::min(kDecodeBatch, files.size() - first);
    Command command{.argv = {"ffmpeg", "-nostdin", "-v", "error", "-y"}};
    for (std::size_t i = 0; i < count; ++i) {
      for (const std::string& word :
           {std::string("-f"), std::string("g722"), std::string("-i"), files[first + i].string()})
        command.argv.push_back(word);
    }
    std::vector<std::filesystem::path> raw;
    for (std::size_t i = 0; i < count; ++i) {
      raw.push_back(scratch / fmt::format("{}.s16", i));
      const std::vector<std::string> words{
          "-map",  std::to_string(i),  "-ac", "1", "-ar", std::to_string(kCorpusRate), "-f",
          "s16le", raw.back().string()};
      command.argv.insert(command.argv.end(), words.begin(), words.end());
    }
    STRATA_TRY(const Captured captured, run_captured(command));
    if (!captured.exit.ok()) {
      return fail(ErrorCode::kUnavailable, "decoding {} and {} files after it with ffmpeg: {}",
                  files[first].string(), count - 1, captured.exit.describe());
    }
    for (const std::filesystem::path& file : raw) {
      STRATA_TRY(const std::string bytes, read_file(file));
      std::vector<float> samples;
      samples.reserve(bytes.size() / 2);
      for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
        const auto low = static_cast<unsigned char>(bytes[i]);
        const auto high = static_cast<unsigned char>(bytes[i + 1]);
        samples.push_back(static_cast<float>(static_cast<std::int16_t>(low | (high << 8))) /
                          32768.0F);
      }
      decoded.push_back(std::move(samples));
      std::error_code ignored;
      std::filesystem::remove(file, ignored);
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(scratch, ignored);
  STRATA_ASSERT(decoded.size() == files.size());
  return decoded;
}

}  // namespace strata::trainer

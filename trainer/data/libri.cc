#include "trainer/data/libri.h"

#include <algorithm>

#include "base/files.h"
#include "base/utf8.h"
#include "trainer/data/list_file.h"
#include "trainer/data/text_lines.h"

namespace strata::trainer {
namespace {

// Of the id of an item that is the prompt of others and a target with another text.
constexpr const char* kPromptEnding = ".prompt";

using Transcripts = std::map<std::string, Candidate>;  // by utterance; with id, text and where

// Folders, or files that end so, in the order of their names.
Result<std::vector<std::filesystem::path>> entries_of(const std::filesystem::path& folder,
                                                      std::string_view extension) {
  std::vector<std::filesystem::path> entries;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    const bool wanted = extension.empty() ? it->is_directory()
                                          : it->path().filename().string().ends_with(extension);
    if (wanted) entries.push_back(it->path());
  }
  if (error) {
    const bool none = error == std::errc::no_such_file_or_directory;
    return fail(none ? ErrorCode::kNotFound : ErrorCode::kUnavailable, "listing {}: {}",
                folder.string(), error.message());
  }
  std::ranges::sort(entries);
  return entries;
}

// What Python's str.strip() cuts off.
bool is_white(char32_t c) {
  static constexpr std::u32string_view kWhite = U" \x85\xA0\x1680\x2028\x2029\x202F\x205F\x3000";
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || (c >= 0x2000 && c <= 0x200A) ||
         kWhite.find(c) != std::u32string_view::npos;
}

// The vocabulary is made of all of them, so none may be of no use to it.
Result<std::string> checked_text(std::string_view bytes, const std::string& where) {
  auto points = decode_utf8(bytes);
  if (!points) return tl::unexpected(points.error().while_doing(where));
  std::u32string_view text = *points;
  while (!text.empty() && is_white(text.back())) text.remove_suffix(1);
  while (!text.empty() && is_white(text.front())) text.remove_prefix(1);
  const auto control =
      std::ranges::find_if(text, [](char32_t c) { return c < 0x20 || (c >= 0x7F && c < 0xA0); });
  if (control != text.end()) {
    return fail(ErrorCode::kInvalid, "{}: the transcript holds the control character {:#x}", where,
                static_cast<std::uint32_t>(*control));
  }
  return encode_utf8(text);
}

Status add_transcript(Transcripts& transcripts, std::string id, std::string_view text,
                      const std::string& where) {
  if (!is_item_id(id)) {
    return fail(ErrorCode::kInvalid,
                "{}: \"{}\" is no name of an utterance: expected letters, digits, '.', '_' and '-'",
                where, id);
  }
  STRATA_TRY(std::string checked, checked_text(text, where));
  Candidate candidate{.id = id, .text = std::move(checked), .where = where};
  const auto [there, fresh] = transcripts.emplace(std::move(id), std::move(candidate));
  if (fresh) return {};
  return fail(ErrorCode::kInvalid, "{}: the utterance {} has a transcript already ({})", where,
              there->first, there->second.where);
}

Result<Transcripts> transcripts_of_files(const std::filesystem::path& chapter) {
  static constexpr std::string_view kEnding = ".normalized.txt";
  Transcripts transcripts;
  STRATA_TRY(const auto files, entries_of(chapter, kEnding));
  for (const std::filesystem::path& file : files) {
    const std::string name = file.filename().string();
    STRATA_TRY(const std::string text, read_file(file));
    STRATA_CHECK_OK(add_transcript(transcripts, name.substr(0, name.size() - kEnding.size()), text,
                                   file.string()));
  }
  return transcripts;
}

Result<Transcripts> transcripts_of_lines(const std::filesystem::path& chapter) {
  Transcripts transcripts;
  STRATA_TRY(const auto files, entries_of(chapter, ".trans.txt"));
  for (const std::filesystem::path& file : files) {
    STRATA_TRY(const std::string text, read_file(file));
    const std::vector<std::string_view> lines = text_lines(text);
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::string where = fmt::format("{}: line {}", file.string(), i + 1);
      const std::size_t space = lines[i].find(' ');
      if (lines[i].empty()) continue;
      if (space == std::string_view::npos || space == 0) {
        return fail(ErrorCode::kInvalid,
                    "{}: expected the name of an utterance, a space and its text", where);
      }
      STRATA_CHECK_OK(add_transcript(transcripts, std::string(lines[i].substr(0, space)),
                                     lines[i].substr(space + 1), where));
    }
  }
  return transcripts;
}

Status list_chapter(const LibriOptions& options, const std::filesystem::path& chapter,
                    const std::string& speaker, std::vector<Candidate>& candidates) {
  const bool tts = options.kind == LibriKind::kLibriTts;
  STRATA_TRY(Transcripts transcripts,
             tts ? transcripts_of_files(chapter) : transcripts_of_lines(chapter));
  STRATA_TRY(const auto recordings, entries_of(chapter, tts ? ".wav" : ".flac"));
  for (const std::filesystem::path& recording : recordings) {
    const std::string id = recording.stem().string();
    if (!is_item_id(id))
      return fail(ErrorCode::kInvalid, "{}: its name cannot be an id", recording.string());
    Candidate candidate{.id = id, .where = recording.string()};
    if (auto known = transcripts.extract(id); !known.empty()) candidate = std::move(known.mapped());
    candidate.speaker = speaker;
    candidate.source = recording;
    STRATA_CHECK_OK(measure_recording(candidate, options.rate));
    candidates.push_back(std::move(candidate));
  }
  for (auto& [id, candidate] : transcripts) {  // those that nobody speaks
    candidate.speaker = speaker;
    candidates.push_back(std::move(candidate));
  }
  return {};
}

// One of the utterances of the cross-sentence list.
struct Listed {
  std::string_view id{};
  std::string_view seconds{};
  std::string_view text{};
};

Result<Candidate> listed_utterance(const Listed& listed, const std::filesystem::path& root,
                                   const std::string& where, int rate) {
  const std::size_t first = listed.id.find('-');
  const std::size_t second =
      first == std::string_view::npos ? first : listed.id.find('-', first + 1);
  if (first == 0 || second == std::string_view::npos || second == first + 1 ||
      second + 1 == listed.id.size() || !is_item_id(listed.id)) {
    return fail(ErrorCode::kInvalid, "{}: \"{}\" is no utterance: expected speaker-chapter-number",
                where, listed.id);
  }
  const auto seconds = Number::parse(listed.seconds);
  if (!seconds || !(seconds->to_double() > 0))
    return fail(ErrorCode::kInvalid, "{}: \"{}\" is no length in seconds", where, listed.seconds);
  Candidate candidate{.id = std::string(listed.id), .required = true, .where = where};
  candidate.speaker = listed.id.substr(0, first);
  STRATA_TRY(candidate.text, checked_text(listed.text, where));
  candidate.source = root / candidate.speaker / listed.id.substr(first + 1, second - first - 1) /
                     (candidate.id + ".flac");
  const Status measured = measure_recording(candidate, rate);
  if (!measured) return tl::unexpected(measured.error().while_doing(where));
  if (candidate.samples == 0) {
    return fail(ErrorCode::kNotFound, "{}: there is no recording {}", where,
                candidate.source.string());
  }
  if (std::abs(*candidate.seconds - seconds->to_double()) > kListedSecondsApart) {
    return fail(ErrorCode::kInvalid, "{}: {} should last {} s, the recording {} lasts {:.3f} s",
                where, listed.id, listed.seconds, candidate.source.string(), *candidate.seconds);
  }
  return candidate;
}

Status add_prompt(const Listed& listed, const std::filesystem::path& root, const std::string& where,
                  int rate, Transcripts& prompts) {
  const std::string id(listed.id);
  const auto known = prompts.find(id);
  if (known == prompts.end()) {
    STRATA_TRY(Candidate candidate, listed_utterance(listed, root, where, rate));
    candidate.split = Split::kPrompt;
    prompts.emplace(id, std::move(candidate));
    return {};
  }
  STRATA_TRY(const std::string text, checked_text(listed.text, where));
  if (text == *known->second.text) return {};
  return fail(ErrorCode::kInvalid, "{}: the text of the prompt {} is not the one that it has in {}",
              where, id, known->second.where);
}

Status add_target(const Listed& listed, const std::string& prompt,
                  const std::filesystem::path& root, const std::string& where, int rate,
                  Transcripts& targets) {
  STRATA_TRY(Candidate candidate, listed_utterance(listed, root, where, rate));
  candidate.split = Split::kHeldout;
  candidate.prompt = prompt;
  const auto [there, fresh] = targets.emplace(candidate.id, candidate);
  if (fresh) return {};
  return fail(ErrorCode::kInvalid, "{}: {} is a target already ({})", where, there->first,
              there->second.where);
}

// An item has one text: what is a prompt and a target is one item where the texts are equal, and
// else two.
std::vector<Candidate> joined(Transcripts prompts, Transcripts targets) {
  std::map<std::string, std::string> renamed;
  std::vector<Candidate> candidates;
  for (auto& [id, prompt] : prompts) {
    const auto target = targets.find(id);
    if (target != targets.end() && target->second.text == prompt.text) continue;
    if (target != targets.end()) prompt.id = renamed[id] = id + kPromptEnding;
    candidates.push_back(std::move(prompt));
  }
  for (auto& [id, target] : targets) {
    if (const auto other = renamed.find(target.prompt); other != renamed.end())
      target.prompt = other->second;
    candidates.push_back(std::move(target));
  }
  return candidates;
}

}  // namespace

Result<std::optional<LibriListing>> list_libri(
    const LibriOptions& options, const std::function<Result<bool>(std::int64_t)>& seen) {
  LibriListing listing;
  for (const std::string& set : options.sets) {
    const std::size_t before = listing.candidates.size();
    STRATA_TRY(const auto speakers, entries_of(options.root / set, ""));
    for (const std::filesystem::path& speaker : speakers) {
      STRATA_TRY(const auto chapters, entries_of(speaker, ""));
      for (const std::filesystem::path& chapter : chapters) {
        STRATA_CHECK_OK(
            list_chapter(options, chapter, speaker.filename().string(), listing.candidates));
      }
      STRATA_TRY(const bool go_on, seen(std::ssize(listing.candidates)));
      if (!go_on) return std::nullopt;
    }
    const auto found = listing.candidates.size() - before;
    if (found == 0) {
      return fail(ErrorCode::kInvalid,
                  "{}: no recording and no transcript below <speaker>/<chapter>: is this the root "
                  "of another corpus?",
                  (options.root / set).string());
    }
    listing.recordings[set] = static_cast<std::int64_t>(found);
  }
  return listing;
}

Result<std::vector<Candidate>> list_cross_sentence(const std::filesystem::path& list,
                                                   const std::filesystem::path& root, int rate) {
  static constexpr std::size_t kFields = 6;
  STRATA_TRY(const std::string text, read_file(list));
  Transcripts prompts;
  Transcripts targets;
  const std::vector<std::string_view> lines = text_lines(text);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    const std::string where = fmt::format("{}: line {}", list.string(), i + 1);
    std::vector<std::string_view> fields;
    for (std::size_t at = 0; at <= lines[i].size();) {
      const std::size_t end = std::min(lines[i].find('\t', at), lines[i].size());
      fields.push_back(lines[i].substr(at, end - at));
      at = end + 1;
    }
    if (fields.size() != kFields) {
      return fail(ErrorCode::kInvalid,
                  "{}: {} fields with tabs between, expected {}: prompt, seconds, text, target, "
                  "seconds, text",
                  where, fields.size(), kFields);
    }
    if (fields[0] == fields[3])
      return fail(ErrorCode::kInvalid, "{}: {} is its own prompt", where, fields[0]);
    STRATA_CHECK_OK(add_prompt({fields[0], fields[1], fields[2]}, root, where, rate, prompts));
    STRATA_CHECK_OK(add_target({fields[3], fields[4], fields[5]}, std::string(fields[0]), root,
                               where, rate, targets));
  }
  if (targets.empty()) return fail(ErrorCode::kInvalid, "{}: it holds no line", list.string());
  return joined(std::move(prompts), std::move(targets));
}

}  // namespace strata::trainer

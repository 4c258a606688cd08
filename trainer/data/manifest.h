// A prepared corpus: the folder that `prepare` writes and every later stage reads.
//   wavs/<id>.wav   mono, 16 bits, at the rate of the corpus: 16 kHz unless `prepare` was told
//                   otherwise; every reader takes it from the file or the item
//   manifest.jsonl  one Item a line, ordered by id
//   vocab.txt       the tokens (vocabulary.h)
//   pairs.jsonl     {"id", "prompt"} for every held-out item, ordered by id
//   report.json     what was kept and dropped, and from which packages
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/value.h"

namespace strata::trainer {

inline constexpr int kCorpusRate = 16'000;      // Hz, unless `prepare` is told otherwise
inline constexpr std::size_t kItemIdMax = 120;  // bytes: ids are file names

// A prompt is heard before held-out items and else not used; a held-out item may be one too.
enum class Split { kTrain, kHeldout, kReference, kPrompt };
[[nodiscard]] const char* name_of(Split split);

struct Item {
  std::string id{};
  std::string audio{};  // relative to the corpus folder
  std::int64_t samples = 0;
  int rate = kCorpusRate;
  std::string text{};                 // empty for reference items without a transcript
  std::vector<std::string> tokens{};  // of the text, where it came as a list; else none
  std::string speaker{};
  Split split = Split::kTrain;
  std::string sha256{};  // of the audio file
  [[nodiscard]] double seconds() const { return static_cast<double>(samples) / rate; }
};

// Letters, digits, '.', '_', '-', not a dot first: ids become file names.
[[nodiscard]] bool is_item_id(std::string_view id);

struct Corpus {
  std::filesystem::path folder{};
  std::vector<Item> items{};                     // ordered by id
  std::map<std::string, std::string> prompts{};  // held-out id -> id of its prompt

  [[nodiscard]] const Item* find(std::string_view id) const;
  [[nodiscard]] std::vector<const Item*> of(Split split) const;
  [[nodiscard]] std::filesystem::path audio_path(const Item& item) const {
    return folder / item.audio;
  }
};

// Checks every line; an error names file and line. Pairs name held-out items, each once, and
// prompts among the items of the manifest.
[[nodiscard]] Result<Corpus> read_corpus(const std::filesystem::path& folder);
[[nodiscard]] std::string format_manifest(const std::vector<Item>& items);
[[nodiscard]] std::string format_pairs(const std::map<std::string, std::string>& prompts);

// Lines of a .jsonl file as maps; LF or CRLF; blank lines are skipped.
[[nodiscard]] Result<std::vector<Value>> read_json_lines(const std::filesystem::path& path);

}  // namespace strata::trainer

#include "trainer/audio_output.h"

#include <algorithm>

#include "base/files.h"
#include "base/json.h"
#include "base/random.h"

namespace strata::trainer {

Result<std::vector<const Item*>> heldout_items(const Corpus& corpus,
                                               std::optional<std::int64_t> count) {
  std::vector<const Item*> items = corpus.of(Split::kHeldout);
  if (items.empty())
    return fail(ErrorCode::kInvalid, "{}: it has no held-out items", corpus.folder.string());
  for (const Item* item : items) {
    if (!corpus.prompts.contains(item->id))
      return fail(ErrorCode::kInvalid, "{}: pairs.jsonl has no prompt for {}",
                  corpus.folder.string(), item->id);
  }
  if (!count) return items;
  if (*count > std::ssize(items)) {
    return fail(ErrorCode::kInvalid, "{}: {} items were asked for, {} are held out",
                corpus.folder.string(), *count, items.size());
  }
  Random random(derive_seed(0, "items to synthesize"));
  for (std::size_t i = 0; i + 1 < items.size(); ++i)
    std::swap(items[i], items[i + random.bounded(items.size() - i)]);
  items.resize(static_cast<std::size_t>(*count));
  std::ranges::sort(items, {}, [](const Item* item) -> const std::string& { return item->id; });
  return items;
}

Status copy_audio(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing, error);
  if (error)
    return fail(ErrorCode::kUnavailable, "copying {} to {}: {}", from.string(), to.string(),
                error.message());
  return {};
}

Result<std::string> write_prompt(const Corpus& corpus, const Item& item,
                                 const std::filesystem::path& output) {
  const Item* prompt = corpus.find(corpus.prompts.at(item.id));
  const std::string relative = "prompts/" + item.id + ".wav";
  STRATA_CHECK_OK(make_folder(output / "prompts"));
  STRATA_CHECK_OK(copy_audio(corpus.audio_path(*prompt), output / relative));
  return relative;
}

Status write_audio_list(const std::vector<AudioRow>& rows, const std::filesystem::path& output) {
  std::string text;
  for (const AudioRow& row : rows) {
    text += to_canonical_json(Object{{"id", row.id},
                                     {"set", row.set},
                                     {"audio", row.audio},
                                     {"text", row.text ? Value(*row.text) : Value()},
                                     {"prompt", row.prompt},
                                     {"speaker", row.speaker},
                                     {"seconds", row.seconds}}) +
            "\n";
  }
  return write_file_atomic(output / "list.jsonl", text);
}

}  // namespace strata::trainer

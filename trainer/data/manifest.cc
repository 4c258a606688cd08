#include "trainer/data/manifest.h"

#include <algorithm>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kSamplesMax = 1LL << 40;
constexpr std::int64_t kRateMax = 384'000;

Result<Item> read_item(const Value& line, const std::string& where) {
  Fields fields(line, where);
  Item item;
  item.id = fields.text("id");
  item.audio = fields.text("audio");
  item.samples = fields.integer("samples");
  const std::int64_t rate = fields.integer("rate");
  item.text = fields.text("text", "");
  item.tokens = fields.texts("tokens", std::vector<std::string>{});
  item.speaker = fields.text("speaker");
  const std::string split = fields.choice("split", {"train", "heldout", "reference", "prompt"});
  item.sha256 = fields.text("sha256");
  fields.number("seconds");
  fields.require(is_item_id(item.id), "id", "expected letters, digits, '.', '_' and '-'");
  const std::filesystem::path audio(item.audio);
  fields.require(!audio.is_absolute() && std::ranges::find(audio, "..") == audio.end(), "audio",
                 "expected a path inside the corpus folder");
  fields.require(item.samples > 0 && item.samples <= kSamplesMax, "samples",
                 "expected a positive number");
  fields.require(rate > 0 && rate <= kRateMax, "rate", "expected a rate in Hz");
  STRATA_CHECK_OK(fields.finish());
  item.rate = static_cast<int>(rate);
  item.split = split == "train"     ? Split::kTrain
               : split == "heldout" ? Split::kHeldout
               : split == "prompt"  ? Split::kPrompt
                                    : Split::kReference;
  return item;
}

Status read_pairs(Corpus& corpus) {
  const std::filesystem::path path = corpus.folder / "pairs.jsonl";
  STRATA_TRY(const std::vector<Value> lines, read_json_lines(path));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    Fields fields(lines[i], fmt::format("{}: entry {}", path.string(), i + 1));
    const std::string id = fields.text("id");
    const std::string prompt = fields.text("prompt");
    const Item* item = corpus.find(id);
    fields.require(item != nullptr, "id", fmt::format("the manifest has no item \"{}\"", id));
    fields.require(item == nullptr || item->split == Split::kHeldout, "id",
                   fmt::format("\"{}\" is no held-out item", id));
    fields.require(corpus.find(prompt) != nullptr, "prompt",
                   fmt::format("the manifest has no item \"{}\"", prompt));
    fields.require(id != prompt, "prompt", fmt::format("\"{}\" cannot be its own prompt", prompt));
    fields.require(!corpus.prompts.contains(id), "id", fmt::format("\"{}\" is there twice", id));
    STRATA_CHECK_OK(fields.finish());
    corpus.prompts.emplace(id, prompt);
  }
  return {};
}

}  // namespace

const char* name_of(Split split) {
  switch (split) {
    case Split::kTrain: return "train";
    case Split::kHeldout: return "heldout";
    case Split::kReference: return "reference";
    case Split::kPrompt: return "prompt";
  }
  return "";
}

bool is_item_id(std::string_view id) {
  if (id.empty() || id.size() > kItemIdMax || id.front() == '.') return false;
  return std::ranges::all_of(id, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
}

const Item* Corpus::find(std::string_view id) const {
  const auto found = std::ranges::lower_bound(items, id, {}, &Item::id);
  return found == items.end() || found->id != id ? nullptr : &*found;
}

std::vector<const Item*> Corpus::of(Split split) const {
  std::vector<const Item*> found;
  for (const Item& item : items) {
    if (item.split == split) found.push_back(&item);
  }
  return found;
}

Result<std::vector<Value>> read_json_lines(const std::filesystem::path& path) {
  STRATA_TRY(const std::string text, read_file(path));
  std::vector<Value> lines;
  for (std::size_t at = 0, number = 1; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line(text.data() + at, end - at);
    at = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto value = parse_json(line);
    if (!value)
      return tl::unexpected(
          value.error().while_doing(fmt::format("{}: line {}", path.string(), number)));
    if (value->if_object() == nullptr)
      return fail(ErrorCode::kInvalid, "{}: line {}: expected a map", path.string(), number);
    lines.push_back(std::move(*value));
  }
  return lines;
}

Result<Corpus> read_corpus(const std::filesystem::path& folder) {
  Corpus corpus{.folder = folder};
  const std::filesystem::path path = folder / "manifest.jsonl";
  STRATA_TRY(const std::vector<Value> lines, read_json_lines(path));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    STRATA_TRY(Item item, read_item(lines[i], fmt::format("{}: entry {}", path.string(), i + 1)));
    corpus.items.push_back(std::move(item));
  }
  if (corpus.items.empty())
    return fail(ErrorCode::kInvalid, "{}: it holds no items", path.string());
  std::ranges::sort(corpus.items, {}, &Item::id);
  const auto twice = std::ranges::adjacent_find(corpus.items, {}, &Item::id);
  if (twice != corpus.items.end())
    return fail(ErrorCode::kInvalid, "{}: the id {} is there twice", path.string(), twice->id);
  STRATA_CHECK_OK(read_pairs(corpus));
  return corpus;
}

std::string format_manifest(const std::vector<Item>& items) {
  std::string text;
  for (const Item& item : items) {
    Object line{{"id", item.id},
                {"audio", item.audio},
                {"seconds", item.seconds()},
                {"samples", item.samples},
                {"rate", item.rate},
                {"speaker", item.speaker},
                {"split", name_of(item.split)},
                {"sha256", item.sha256}};
    if (!item.text.empty()) line.emplace("text", item.text);
    if (!item.tokens.empty()) line.emplace("tokens", Array(item.tokens.begin(), item.tokens.end()));
    text += to_canonical_json(line) + "\n";
  }
  return text;
}

std::string format_pairs(const std::map<std::string, std::string>& prompts) {
  std::string text;
  for (const auto& [id, prompt] : prompts)
    text += to_canonical_json(Object{{"id", id}, {"prompt", prompt}}) + "\n";
  return text;
}

}  // namespace strata::trainer

#include "trainer/weights_folder.h"

#include "base/audio/mel.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kFolderFormat = 1;  // of model.json

}  // namespace

Status write_weights_folder(const std::filesystem::path& folder, const WeightsFolder& weights) {
  STRATA_CHECK_OK(make_folder(folder));
  STRATA_CHECK_OK(write_tensors(folder / "model.safetensors", weights.tensors));
  const Value about = Object{{"format", kFolderFormat},
                             {"model", to_value(weights.model)},
                             {"vocabulary", weights.vocabulary},
                             {"mel", Object{{"kind", weights.mel_kind},
                                            {"mean", weights.mean},
                                            {"deviation", weights.deviation}}},
                             {"update", weights.update}};
  return write_file_atomic(folder / "model.json", to_pretty_json(about));
}

Result<WeightsFolder> read_weights_folder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "model.json";
  STRATA_TRY(const std::string text, read_file(path));
  auto about = parse_json(text);
  if (!about) return tl::unexpected(about.error().while_doing(path.string()));
  Fields fields(*about, path.string());
  WeightsFolder weights;
  const std::int64_t format = fields.integer("format");
  fields.require(format == kFolderFormat, "format",
                 fmt::format("this program reads {}", kFolderFormat));
  const Value& model = fields.required_child("model");
  weights.vocabulary = fields.text("vocabulary");
  Fields mel(fields.required_child("mel"), path.string() + ": mel");
  weights.update = fields.integer("update", 0);
  STRATA_CHECK_OK(fields.finish());
  weights.mel_kind = mel.text("kind");
  weights.mean = mel.number("mean");
  weights.deviation = mel.number("deviation");
  STRATA_CHECK_OK(mel.finish());
  STRATA_TRY(weights.model, read_model_config(model, path.string() + ": model"));
  STRATA_TRY(weights.tensors, read_tensors(folder / "model.safetensors"));
  return weights;
}

Result<std::string> read_vocabulary_text(Tokenizer tokenizer,
                                         const std::optional<std::filesystem::path>& file,
                                         std::int64_t size) {
  const bool bytes = tokenizer == Tokenizer::kByte;
  if (bytes == file.has_value()) {
    return fail(ErrorCode::kInvalid, "tokenizer {}: a vocabulary {}", name_of(tokenizer),
                bytes ? "has no place there" : "is missing");
  }
  STRATA_TRY(const Vocabulary vocabulary, bytes ? Result<Vocabulary>(Vocabulary::bytes())
                                                : Vocabulary::load_lines(*file, tokenizer));
  if (static_cast<std::int64_t>(vocabulary.size()) != size) {
    return fail(ErrorCode::kInvalid,
                "{} has {} tokens, the model knows {}: it was trained with another one",
                bytes ? "tokenizer byte" : file->string(), vocabulary.size(), size);
  }
  return vocabulary.format();
}

Result<std::optional<std::string>> vocabulary_lines(const std::string& text) {
  STRATA_TRY(const Vocabulary vocabulary, Vocabulary::parse(text));
  if (vocabulary.tokenizer() == Tokenizer::kByte) return std::nullopt;
  if (vocabulary.tokenizer() == Tokenizer::kChar) return text;
  return text.substr(text.find('\n') + 1);  // without the heading
}

}  // namespace strata::trainer

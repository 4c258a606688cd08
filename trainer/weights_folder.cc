#include "trainer/weights_folder.h"

#include "base/audio/mel.h"
#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "trainer/data/vocabulary.h"

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

Result<std::string> read_vocabulary_text(const std::filesystem::path& file, std::int64_t size) {
  STRATA_TRY(const Vocabulary vocabulary, Vocabulary::load(file));
  if (static_cast<std::int64_t>(vocabulary.size()) != size) {
    return fail(ErrorCode::kInvalid,
                "{} has {} tokens, the model knows {}: it was trained with another one",
                file.string(), vocabulary.size(), size);
  }
  return vocabulary.format();
}

}  // namespace strata::trainer

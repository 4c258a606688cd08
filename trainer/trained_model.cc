#include "trainer/trained_model.h"

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/torch/guard.h"
#include "trainer/models/acoustic_model.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kWeightsFormat = 1;
constexpr const char* kAboutFile = "model.json";

Result<const Value*> need(const Value& value, std::string_view key, const std::string& where) {
  const Value* found = value.find(key);
  if (found == nullptr) return fail(ErrorCode::kInvalid, "{}: it has no \"{}\"", where, key);
  return found;
}

}  // namespace

Value to_value(const ModelDescription& description) {
  return Object{{"model", to_value(description.model)},
                {"vocabulary", description.vocabulary.format()},
                {"mel", Object{{"kind", name_of(description.mel)},
                               {"mean", description.normalise.mean},
                               {"deviation", description.normalise.deviation}}}};
}

Result<ModelDescription> read_model_description(const Value& value, const std::string& where) {
  STRATA_TRY(const Value* model, need(value, "model", where));
  STRATA_TRY(const Value* vocabulary, need(value, "vocabulary", where));
  STRATA_TRY(const Value* mel_value, need(value, "mel", where));
  if (vocabulary->if_string() == nullptr)
    return fail(ErrorCode::kInvalid, "{}: vocabulary: expected a text", where);
  STRATA_TRY(Vocabulary letters, Vocabulary::parse(*vocabulary->if_string()));
  Fields mel(*mel_value, where + ": mel");
  const std::string kind = mel.text("kind");
  const Normalisation normalise{.mean = mel.number("mean"), .deviation = mel.number("deviation")};
  mel.require(normalise.deviation > 0, "deviation", "expected a positive number");
  STRATA_CHECK_OK(mel.finish());
  ModelDescription description{.vocabulary = std::move(letters), .normalise = normalise};
  STRATA_TRY(description.mel, parse_mel_kind(kind));
  STRATA_TRY(description.model, read_model_config(*model, where + ": model"));
  if (description.model.mel != mel_config(description.mel).bands ||
      description.model.vocabulary < static_cast<std::int64_t>(description.vocabulary.size())) {
    return fail(ErrorCode::kInvalid, "{}: model, mel and vocabulary do not fit together", where);
  }
  return description;
}

Status write_trained_model(const std::filesystem::path& folder, const NamedTensors& weights,
                           const ModelDescription& description, std::int64_t update) {
  STRATA_CHECK_OK(make_folder(folder));
  STRATA_CHECK_OK(write_tensors(folder / kTrainedWeightsFile, weights));
  Value about = to_value(description);
  about.if_object()->emplace("format", kWeightsFormat);
  about.if_object()->emplace("update", update);
  return write_file_atomic(folder / kAboutFile, to_pretty_json(about));
}

Result<TrainedDescription> read_trained_description(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kAboutFile;
  STRATA_TRY(const std::string text, read_file(path));
  auto about = parse_json(text);
  if (!about) return tl::unexpected(about.error().while_doing(path.string()));
  STRATA_TRY(const Value* format, need(*about, "format", path.string()));
  if (*format != Value(kWeightsFormat)) {
    return fail(ErrorCode::kUnsupported, "{}: this program reads format {}", path.string(),
                kWeightsFormat);
  }
  STRATA_TRY(ModelDescription description, read_model_description(*about, path.string()));
  const Value* update = about->find("update");
  if (update == nullptr || update->if_number() == nullptr ||
      !update->if_number()->to_integer().has_value())
    return fail(ErrorCode::kInvalid, "{}: update: expected a whole number", path.string());
  return TrainedDescription{.description = std::move(description),
                            .update = *update->if_number()->to_integer()};
}

Result<TrainedModel> load_trained_model(const std::filesystem::path& folder) {
  STRATA_TRY(TrainedDescription about, read_trained_description(folder));
  STRATA_TRY(const NamedTensors weights, read_tensors(folder / kTrainedWeightsFile));
  STRATA_TRY(auto backbone, from_torch("making the model of " + folder.string(),
                                       [&] { return make_backbone(about.description.model); }));
  STRATA_CHECK_OK(load_weights(*backbone, weights));
  return TrainedModel{.backbone = std::move(backbone),
                      .description = std::move(about.description),
                      .update = about.update};
}

}  // namespace strata::trainer

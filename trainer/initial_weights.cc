#include "trainer/initial_weights.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "trainer/data/text_lines.h"
#include "trainer/weights_exchange.h"

namespace strata::trainer {
namespace {

// Another value of these trains the same function on.
constexpr std::array<std::string_view, 3> kMayDiffer{"dropout", "masks", "attention_mask"};
// A difference of mean or deviation that nobody hears, as a share of the deviation.
constexpr double kNormalisationTolerance = 0.01;

std::string shown(const Value* value) {
  return value == nullptr ? "absent" : to_canonical_json(*value);
}

// The first one that matters; others are said in the log.
Status check_model(const Value& here, const Value& there, const std::string& where) {
  for (const auto& [name, ours] : *here.if_object()) {
    const Value* theirs = there.find(name);
    if (theirs != nullptr && *theirs == ours) continue;
    if (std::ranges::find(kMayDiffer, name) == kMayDiffer.end()) {
      return fail(ErrorCode::kInvalid, "{}: parameters.model.{} is {}, these weights have {}",
                  where, name, shown(&ours), shown(theirs));
    }
    log_info("trainer", "{}: parameters.model.{} is {}, these weights were made with {}", where,
             name, shown(&ours), shown(theirs));
  }
  return {};
}

bool is_raw(const Normalisation& by) { return by.mean == 0 && by.deviation == 1; }

Status check_mel(const ModelDescription& here, const ModelDescription& there,
                 const std::string& where) {
  if (here.mel != there.mel) {
    return fail(ErrorCode::kInvalid, "{}: parameters.mel is {}, these weights speak {}", where,
                name_of(here.mel), name_of(there.mel));
  }
  const Normalisation& ours = here.normalise;
  const Normalisation& theirs = there.normalise;
  if (is_raw(ours) != is_raw(theirs)) {
    return fail(ErrorCode::kInvalid,
                "{}: these weights speak {} mels: set parameters.train.normalise to {}", where,
                is_raw(theirs) ? "raw" : "normalised", is_raw(theirs) ? "none" : "corpus");
  }
  const double off =
      std::max(std::abs(ours.mean - theirs.mean), std::abs(ours.deviation - theirs.deviation));
  if (off > kNormalisationTolerance * theirs.deviation) {
    log_warning("trainer",
                "{}: mels were normalised by (mel - {:.4f}) / {:.4f}, those of this corpus are by "
                "(mel - {:.4f}) / {:.4f}: the weights have to get used to it",
                where, theirs.mean, theirs.deviation, ours.mean, ours.deviation);
  }
  return {};
}

std::string token_at(const std::vector<std::string_view>& lines, std::size_t i) {
  return i < lines.size() ? fmt::format("'{}'", lines[i]) : "absent";
}

}  // namespace

std::optional<std::string> vocabulary_difference(const Vocabulary& here, const Vocabulary& there) {
  if (here.tokenizer() != there.tokenizer()) {
    return fmt::format("the tokenizer is {} here, {} there", name_of(here.tokenizer()),
                       name_of(there.tokenizer()));
  }
  const std::string our_text = here.format();
  const std::string their_text = there.format();
  if (our_text == their_text) return {};
  std::vector<std::string_view> ours = text_lines(our_text);
  std::vector<std::string_view> theirs = text_lines(their_text);
  if (here.tokenizer() != Tokenizer::kChar) {  // without the line that names the tokenizer
    ours.erase(ours.begin());
    theirs.erase(theirs.begin());
  }
  std::size_t i = 0;
  while (i < std::min(ours.size(), theirs.size()) && ours[i] == theirs[i]) ++i;
  return fmt::format("token {} is {} here, {} there ({} and {} tokens)", i, token_at(ours, i),
                     token_at(theirs, i), ours.size(), theirs.size());
}

Result<std::string> start_from(const std::filesystem::path& folder, const ModelDescription& wanted,
                               AcousticModel& model) {
  const std::string where = "the input \"init\", " + folder.string();
  STRATA_TRY(const TrainedDescription there, read_trained_description(folder));
  if (const auto difference =
          vocabulary_difference(wanted.vocabulary, there.description.vocabulary)) {
    return fail(ErrorCode::kInvalid,
                "{}: these weights know another vocabulary than the corpus: {}; prepare the corpus "
                "with theirs (corpus.vocabulary)",
                where, *difference);
  }
  STRATA_CHECK_OK(check_mel(wanted, there.description, where));
  STRATA_CHECK_OK(check_model(to_value(wanted.model), to_value(there.description.model), where));
  const std::filesystem::path file = folder / kTrainedWeightsFile;
  STRATA_TRY(const std::string identity, sha256_file(file));
  STRATA_TRY(const NamedTensors weights, read_tensors(file));
  if (auto loaded = load_weights(model.backbone(), weights); !loaded)
    return tl::unexpected(loaded.error().while_doing(where));
  return identity;
}

namespace {

Status check_sha256(const std::filesystem::path& file, const std::string& wanted) {
  if (wanted.empty()) return {};
  STRATA_TRY(const std::string found, sha256_file(file));
  if (found == wanted) return {};
  return fail(ErrorCode::kInvalid, "{}: its SHA-256 is {}, parameters.init.sha256 says {}",
              file.string(), found, wanted);
}

Status copy_folder(const std::filesystem::path& from, const std::filesystem::path& to,
                   const std::string& sha256) {
  STRATA_CHECK_OK(check_sha256(from / kTrainedWeightsFile, sha256));
  STRATA_TRY(const TrainedModel model, load_trained_model(from));
  NamedTensors weights;
  for (const auto& entry : model.backbone->named_parameters())
    weights.emplace(entry.key(), entry.value());
  return write_trained_model(to, weights, model.description, model.update);
}

}  // namespace

Result<int> run_import(const StageSpec& spec) {
  Fields fields(spec.parameters, "parameters");
  const Value& init = fields.required_child("init");
  const std::string mel = fields.text("mel", name_of(MelKind::kHifigan));
  STRATA_CHECK_OK(fields.finish());
  STRATA_TRY(const std::filesystem::path output, spec.output("weights"));
  if (init.if_object() == nullptr)
    return fail(ErrorCode::kInvalid, "parameters.init: expected a map, found a {}", init.kind());
  Object request = *init.if_object();
  std::erase_if(request, [](const auto& entry) { return entry.second.is_null(); });
  const auto take = [&](const char* name) {
    const auto it = request.find(name);
    if (it == request.end() || it->second.if_string() == nullptr) return std::string();
    return *request.extract(it).mapped().if_string();
  };
  const std::string sha256 = take("sha256");
  const std::string weights = take("weights");
  if (weights.empty()) return fail(ErrorCode::kInvalid, "parameters.init.weights: expected a path");
  if (std::filesystem::is_directory(weights)) {
    if (!request.empty()) {
      return fail(ErrorCode::kInvalid,
                  "parameters.init.{}: a folder of weights says for itself what it is",
                  request.begin()->first);
    }
    STRATA_CHECK_OK(copy_folder(weights, output, sha256));
    return exit_code::kSucceeded;
  }
  STRATA_CHECK_OK(check_sha256(weights, sha256));
  request.insert_or_assign("weights", weights);
  request.insert_or_assign("output", output.string());
  request.insert_or_assign("mel", mel);
  STRATA_CHECK_OK(import_weights(request).map([](const Value&) {}));
  return exit_code::kSucceeded;
}

}  // namespace strata::trainer

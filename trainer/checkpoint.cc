#include "trainer/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/sha256.h"
#include "trainer/checkpoint_recipe.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kFormatWithoutOwnHash = 1;
constexpr std::int64_t kFormatWithoutNotes = 2;
constexpr const char* kTensorsFile = "state.safetensors";
constexpr const char* kAboutFile = "checkpoint.json";
constexpr const char* kOwnHash = "own_sha256";

std::string own_hash(Object about) {
  about.erase(kOwnHash);
  return sha256_hex(to_canonical_json(std::move(about)));
}

// A changed digit of a number would else go unseen, and training would go on from another update.
Status check_own_hash(const Value& about, const std::filesystem::path& file) {
  const Value* format = about.find("format");
  const auto number = format != nullptr && format->if_number() != nullptr
                          ? format->if_number()->to_integer()
                          : std::nullopt;
  if (number && *number == kFormatWithoutOwnHash) return {};
  if (number && *number != kCheckpointFormat && *number != kFormatWithoutNotes) {
    return fail(ErrorCode::kUnsupported, "{}: checkpoint format {}, this program reads {}",
                file.string(), *number, kCheckpointFormat);
  }
  const Value* written = about.find(kOwnHash);
  if (about.if_object() == nullptr || written == nullptr || written->if_string() == nullptr ||
      *written->if_string() != own_hash(*about.if_object())) {
    return fail(ErrorCode::kDamaged, "{}: is not what was written", file.string());
  }
  return {};
}

Status write_into(const std::filesystem::path& folder, const Value& recipe,
                  const TrainingState& state, const CheckpointNotes& notes) {
  STRATA_CHECK_OK(make_folder(folder));
  STRATA_CHECK_OK(write_tensors(folder / kTensorsFile, state.tensors));
  STRATA_TRY(const std::string hash, sha256_file(folder / kTensorsFile));
  Object metrics;
  for (const auto& [name, value] : notes.metrics) metrics.emplace(name, value);
  Object about{{"format", kCheckpointFormat},
               {"update", state.update},
               {"average_calls", state.average_calls},
               {"recipe", recipe},
               {"early", state.early},
               {"validation_due", state.validation_due},
               {"describes", notes.describes},
               {"metrics", std::move(metrics)},
               {"sha256", hash}};
  about.emplace(kOwnHash, own_hash(about));
  return write_file_atomic(folder / kAboutFile, to_pretty_json(about));
}

Status move_folder(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  std::filesystem::rename(from, to, error);
  if (!error) return {};
  return fail(ErrorCode::kUnavailable, "renaming {} to {}: {}", from.string(), to.string(),
              error.message());
}

// So that a rename outlives the machine; some file systems cannot, and then the rename is as
// durable as they make it.
void sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid()) ::fsync(fd.get());
}

Result<std::map<std::string, double>> read_metrics(const Value* value, const std::string& where) {
  std::map<std::string, double> metrics;
  if (value == nullptr) return metrics;
  if (value->if_object() == nullptr)
    return fail(ErrorCode::kDamaged, "{}: \"metrics\" is no map", where);
  for (const auto& [name, number] : *value->if_object()) {
    if (!number.to_double())
      return fail(ErrorCode::kDamaged, "{}: metrics.{} is no number", where, name);
    metrics.emplace(name, *number.to_double());
  }
  return metrics;
}

}  // namespace

Status save_checkpoint(const std::filesystem::path& folder, const Value& recipe,
                       const TrainingState& state, const CheckpointNotes& notes) {
  const std::filesystem::path parent = folder.has_parent_path() ? folder.parent_path() : ".";
  const std::string name = folder.filename().string();
  const std::filesystem::path writing = parent / (std::string(kWritingPrefix) + name);
  const std::filesystem::path replaced = parent / (std::string(kReplacedPrefix) + name);
  std::error_code error;
  std::filesystem::remove_all(writing, error);
  STRATA_CHECK_OK(write_into(writing, recipe, state, notes));
  // ---- a folder cannot be renamed over another one: the old one is put aside first
  if (std::filesystem::exists(folder, error)) {
    std::filesystem::remove_all(replaced, error);
    STRATA_CHECK_OK(move_folder(folder, replaced));
  }
  STRATA_CHECK_OK(move_folder(writing, folder));
  sync_folder(parent);
  std::filesystem::remove_all(replaced, error);  // what is left goes with the next save
  return {};
}

Result<CheckpointDescription> describe_checkpoint(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / kAboutFile;
  STRATA_TRY(const std::string text, read_file(file));
  auto about = parse_json(text);
  if (!about) return fail(ErrorCode::kDamaged, "{}: {}", file.string(), about.error().message);
  STRATA_CHECK_OK(check_own_hash(*about, file));
  Fields fields(*about, file.string());
  CheckpointDescription description;
  fields.integer("format");
  fields.text(kOwnHash, "");
  description.update = fields.integer("update");
  description.average_calls = fields.integer("average_calls");
  description.sha256 = fields.text("sha256");
  description.recipe = fields.required_child("recipe");
  const Value& early = fields.required_child("early");
  description.validation_due = fields.flag("validation_due", false);
  if (const Value* describes = fields.child("describes")) description.notes.describes = *describes;
  const Value* metrics = fields.child("metrics");
  STRATA_CHECK_OK(fields.finish());
  if (early.if_array() == nullptr)
    return fail(ErrorCode::kDamaged, "{}: \"early\" is no list", file.string());
  description.early = *early.if_array();
  STRATA_TRY(description.notes.metrics, read_metrics(metrics, file.string()));
  return description;
}

Result<TrainingState> load_checkpoint(const std::filesystem::path& folder,
                                      const CheckpointDescription& description) {
  const std::filesystem::path file = folder / kTensorsFile;
  STRATA_TRY(const std::string found, sha256_file(file));
  if (found != description.sha256) {
    return fail(ErrorCode::kDamaged, "{}: is not what was written (sha256 {}, expected {})",
                file.string(), found, description.sha256);
  }
  TrainingState state{.update = description.update,
                      .average_calls = description.average_calls,
                      .early = description.early,
                      .validation_due = description.validation_due};
  STRATA_TRY(state.tensors, read_tensors(file));
  return state;
}

Status check_recipe(const std::filesystem::path& folder, const Value& recipe,
                    const CheckpointDescription& description) {
  const auto difference = recipe_difference(recipe, description.recipe);
  if (!difference) return {};
  return fail(ErrorCode::kInvalid,
              "{}: the checkpoint belongs to other parameters or another seed ({}); start "
              "without it",
              folder.string(), *difference);
}

Result<TrainingState> load_checkpoint(const std::filesystem::path& folder, const Value& recipe) {
  STRATA_TRY(const CheckpointDescription description, describe_checkpoint(folder));
  STRATA_CHECK_OK(check_recipe(folder, recipe, description));
  return load_checkpoint(folder, description);
}

}  // namespace strata::trainer

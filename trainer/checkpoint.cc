#include "trainer/checkpoint.h"

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"
#include "base/sha256.h"

namespace strata::trainer {
namespace {

constexpr std::int64_t kFormatWithoutOwnHash = 1;
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
  if (number && *number != kCheckpointFormat) {
    if (*number == kFormatWithoutOwnHash) return {};
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

}  // namespace

Status save_checkpoint(const std::filesystem::path& folder, const Value& recipe,
                       const TrainingState& state) {
  const std::filesystem::path beside =
      folder.parent_path() / (".writing-" + folder.filename().string());
  std::error_code error;
  std::filesystem::remove_all(beside, error);
  STRATA_CHECK_OK(make_folder(beside));
  STRATA_CHECK_OK(write_tensors(beside / "state.safetensors", state.tensors));
  STRATA_TRY(const std::string hash, sha256_file(beside / "state.safetensors"));
  Object about{{"format", kCheckpointFormat},
               {"update", state.update},
               {"average_calls", state.average_calls},
               {"recipe", recipe},
               {"early", state.early},
               {"sha256", hash}};
  about.emplace(kOwnHash, own_hash(about));
  STRATA_CHECK_OK(write_file_atomic(beside / "checkpoint.json", to_pretty_json(about)));
  std::filesystem::remove_all(folder, error);
  std::filesystem::rename(beside, folder, error);
  if (error)
    return fail(ErrorCode::kUnavailable, "renaming {} to {}: {}", beside.string(), folder.string(),
                error.message());
  return {};
}

Result<TrainingState> load_checkpoint(const std::filesystem::path& folder, const Value& recipe) {
  STRATA_TRY(const std::string text, read_file(folder / "checkpoint.json"));
  auto about = parse_json(text);
  if (!about) {
    return fail(ErrorCode::kDamaged, "{}: {}", (folder / "checkpoint.json").string(),
                about.error().message);
  }
  STRATA_CHECK_OK(check_own_hash(*about, folder / "checkpoint.json"));
  Fields fields(*about, (folder / "checkpoint.json").string());
  TrainingState state;
  fields.integer("format");
  fields.text(kOwnHash, "");
  state.update = fields.integer("update");
  state.average_calls = fields.integer("average_calls");
  const std::string hash = fields.text("sha256");
  const Value& written_for = fields.required_child("recipe");
  const Value& early = fields.required_child("early");
  STRATA_CHECK_OK(fields.finish());
  if (written_for != recipe) {
    return fail(ErrorCode::kInvalid,
                "{}: the checkpoint belongs to other parameters or another seed; start without it",
                folder.string());
  }
  if (early.if_array() == nullptr)
    return fail(ErrorCode::kDamaged, "{}: \"early\" is no list", folder.string());
  state.early = *early.if_array();
  STRATA_TRY(const std::string found, sha256_file(folder / "state.safetensors"));
  if (found != hash) {
    return fail(ErrorCode::kDamaged,
                "{}: state.safetensors is not what was written (sha256 {}, expected {})",
                folder.string(), found, hash);
  }
  STRATA_TRY(state.tensors, read_tensors(folder / "state.safetensors"));
  return state;
}

}  // namespace strata::trainer

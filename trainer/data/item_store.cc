#include "trainer/data/item_store.h"

#include <algorithm>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace strata::trainer {
namespace {

constexpr const char* kSettingsFile = "settings.json";

// In the order of the names, so that failures are the same everywhere.
Result<std::vector<std::filesystem::path>> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    if (it->is_regular_file()) files.push_back(it->path());
  }
  if (error)
    return fail(ErrorCode::kUnavailable, "listing {}: {}", folder.string(), error.message());
  std::ranges::sort(files);
  return files;
}

Status link_or_copy(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::error_code error;
  if (std::filesystem::exists(to, error)) return {};
  std::filesystem::create_hard_link(from, to, error);
  if (!error) return {};
  std::filesystem::copy_file(from, to, error);
  if (error)
    return fail(ErrorCode::kUnavailable, "copying {} to {}: {}", from.string(), to.string(),
                error.message());
  return {};
}

bool made_under(const std::filesystem::path& folder, const std::string& settings) {
  const auto found = read_file(folder / kSettingsFile);
  return found && *found == settings;
}

}  // namespace

Result<ItemStore> ItemStore::open(const std::filesystem::path& folder, const StageSpec& spec,
                                  const Value& settings) {
  const std::string wanted = to_canonical_json(settings);
  std::error_code error;
  if (!made_under(folder, wanted)) std::filesystem::remove_all(folder, error);
  STRATA_CHECK_OK(make_folder(folder));
  STRATA_CHECK_OK(write_file_atomic(folder / kSettingsFile, wanted));
  if (spec.resume && made_under(*spec.resume, wanted)) {
    STRATA_TRY(const auto files, files_in(*spec.resume));
    for (const auto& file : files) STRATA_CHECK_OK(link_or_copy(file, folder / file.filename()));
  }
  return ItemStore(folder);
}

bool ItemStore::has(const std::string& file) const {
  std::error_code error;
  return std::filesystem::exists(folder_ / file, error);
}

Status ItemStore::checkpoint(std::int64_t step, Progress& progress) const {
  const std::filesystem::path target =
      std::filesystem::path("checkpoints") / fmt::format("{:08}", step);
  STRATA_CHECK_OK(make_folder(target));
  STRATA_TRY(const auto files, files_in(folder_));
  for (const auto& file : files) STRATA_CHECK_OK(link_or_copy(file, target / file.filename()));
  return progress.announce_checkpoint(step, target);
}

void ItemStore::discard() const {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

}  // namespace strata::trainer

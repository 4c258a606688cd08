#include "trainer/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/assert.h"
#include "base/log.h"
#include "trainer/checkpoint_recipe.h"

namespace strata::trainer {
namespace {

namespace fs = std::filesystem;

std::optional<std::int64_t> update_of(std::string_view name) {
  std::int64_t update = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data(), end, update);
  if (error != std::errc{} || stop != end || update < 0) return {};
  return update;
}

// The folders in `folder`, by name.
Result<std::vector<std::string>> folders_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  if (!fs::exists(folder, error)) return names;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::error_code unreadable;
    if (it->is_directory(unreadable)) names.push_back(it->path().filename().string());
  }
  if (error)
    return fail(ErrorCode::kUnavailable, "listing {}: {}", folder.string(), error.message());
  std::ranges::sort(names);
  return names;
}

fs::path stand_in_for(const fs::path& checkpoint) {
  return checkpoint.parent_path() / (std::string(kReplacedPrefix) + checkpoint.filename().string());
}

bool looks_like_a_checkpoint(const fs::path& folder) {
  std::error_code error;
  return fs::exists(folder / "checkpoint.json", error) ||
         fs::exists(folder / "state.safetensors", error);
}

Result<ChosenCheckpoint> load(const fs::path& folder, const std::optional<Value>& recipe,
                              bool& another_recipe) {
  ChosenCheckpoint chosen{.folder = folder};
  STRATA_TRY(chosen.description, describe_checkpoint(folder));
  if (recipe) {
    auto status = check_recipe(folder, *recipe, chosen.description);
    another_recipe = !status;
    STRATA_CHECK_OK(status);
  }
  STRATA_TRY(chosen.state, load_checkpoint(folder, chosen.description));
  return chosen;
}

}  // namespace

Result<std::vector<FoundCheckpoint>> list_checkpoints(const fs::path& folder) {
  STRATA_TRY(const std::vector<std::string> names, folders_in(folder));
  std::vector<FoundCheckpoint> found;
  for (const std::string& name : names) {
    std::string_view of = name;
    if (of.starts_with(kReplacedPrefix)) of.remove_prefix(kReplacedPrefix.size());
    const bool stands_in = of.size() < name.size();
    if (stands_in && std::ranges::binary_search(names, of)) continue;
    if (const auto update = update_of(of))
      found.push_back({.folder = folder / name, .update = *update});
  }
  std::ranges::stable_sort(found, std::ranges::greater{}, &FoundCheckpoint::update);
  return found;
}

Result<ChosenCheckpoint> choose_checkpoint(const fs::path& from,
                                           const std::optional<Value>& recipe) {
  bool another_recipe = false;
  std::error_code error;
  if (looks_like_a_checkpoint(from)) return load(from, recipe, another_recipe);
  if (!fs::exists(from, error) && looks_like_a_checkpoint(stand_in_for(from)))
    return load(stand_in_for(from), recipe, another_recipe);
  STRATA_TRY(const auto found, list_checkpoints(from));
  if (found.empty())
    return fail(ErrorCode::kNotFound, "{}: there is no checkpoint in it", from.string());
  std::string newest_is;
  for (const FoundCheckpoint& one : found) {
    auto chosen = load(one.folder, recipe, another_recipe);
    if (chosen || another_recipe || chosen.error().code == ErrorCode::kUnsupported) return chosen;
    log_warning("trainer", "passing over a checkpoint: {}", chosen.error().message);
    if (newest_is.empty()) newest_is = chosen.error().message;
  }
  return fail(ErrorCode::kDamaged,
              "{}: none of {} checkpoints is whole (the newest: {}); move them away to start from "
              "the beginning",
              from.string(), found.size(), newest_is);
}

std::vector<std::int64_t> not_kept(const KeepPolicy& policy, std::vector<KnownCheckpoint> known) {
  if (policy.last == 0) return {};
  std::ranges::sort(known, {}, &KnownCheckpoint::update);
  std::set<std::int64_t> kept;
  const std::size_t older =
      known.size() - std::min(known.size(), static_cast<std::size_t>(policy.last));
  for (std::size_t i = 0; i < known.size(); ++i) {
    const std::int64_t update = known[i].update;
    const bool milestone = policy.every > 0 && update % policy.every == 0;
    if (i >= older || milestone || known[i].in_use) kept.insert(update);
  }
  std::vector<std::pair<double, std::int64_t>> measured;  // lowest first, then earliest
  for (const KnownCheckpoint& one : known) {
    if (one.metric)
      measured.emplace_back(policy.higher_is_better ? -*one.metric : *one.metric, one.update);
  }
  std::ranges::sort(measured);
  for (std::size_t i = 0; i < measured.size() && std::cmp_less(i, policy.best); ++i)
    kept.insert(measured[i].second);
  std::vector<std::int64_t> rest;
  for (const KnownCheckpoint& one : known) {
    if (!kept.contains(one.update)) rest.push_back(one.update);
  }
  return rest;
}

CheckpointFolder::CheckpointFolder(fs::path folder, Value recipe, Value describes,
                                   KeepPolicy policy, bool copied, const Clock& clock)
    : folder_(std::move(folder)),
      recipe_(std::move(recipe)),
      describes_(std::move(describes)),
      policy_(std::move(policy)),
      copied_(copied),
      clock_(clock) {
  STRATA_ASSERT(policy_.last == 0 || policy_.last >= kKeepLastMin);
}

Result<fs::path> CheckpointFolder::save(const TrainingState& state,
                                        const std::map<std::string, double>& metrics) {
  clean_up();
  const fs::path folder = folder_ / fmt::format("{:08}", state.update);
  STRATA_CHECK_OK(
      save_checkpoint(folder, recipe_, state, {.describes = describes_, .metrics = metrics}));
  newest_ = state.update;
  saved_at_.insert_or_assign(state.update, clock_.now());
  metrics_.erase(state.update);
  return folder;
}

void CheckpointFolder::keep_to_policy() {
  if (policy_.last == 0) return;
  auto found = list_checkpoints(folder_);
  if (!found) {
    log_warning("trainer", "no checkpoint is removed: {}", found.error().message);
    return;
  }
  std::erase_if(*found, [&](const FoundCheckpoint& one) { return one.update > newest_; });
  std::vector<KnownCheckpoint> known;
  for (const FoundCheckpoint& one : *found) {
    const auto saved = saved_at_.find(one.update);
    const bool in_use =
        copied_ && saved != saved_at_.end() && clock_.now() - saved->second < kCopyPatience;
    known.push_back({.update = one.update, .metric = metric_of(one), .in_use = in_use});
  }
  const std::vector<std::int64_t> unwanted = not_kept(policy_, std::move(known));
  for (const FoundCheckpoint& one : *found) {
    if (!std::ranges::binary_search(unwanted, one.update)) continue;
    // Whole or away for whoever reads it by its name: the bytes go later.
    const fs::path away = folder_ / fmt::format("{}{:08}", kRemovedPrefix, one.update);
    std::error_code error;
    fs::remove_all(away, error);
    fs::rename(one.folder, away, error);
    if (error)
      log_warning("trainer", "{} is not removed: {}", one.folder.string(), error.message());
  }
}

void CheckpointFolder::clean_up() const {
  const auto names = folders_in(folder_);
  if (!names) return;
  for (const std::string& name : *names) {
    const std::string_view view = name;
    const bool over = view.starts_with(kReplacedPrefix) &&
                      std::ranges::binary_search(*names, view.substr(kReplacedPrefix.size()));
    std::error_code ignored;
    if (over || view.starts_with(kRemovedPrefix) || view.starts_with(kWritingPrefix))
      fs::remove_all(folder_ / name, ignored);
  }
}

std::optional<double> CheckpointFolder::metric_of(const FoundCheckpoint& found) {
  if (policy_.best == 0) return {};
  if (const auto known = metrics_.find(found.update); known != metrics_.end()) return known->second;
  std::optional<double> metric;
  if (const auto about = describe_checkpoint(found.folder)) {
    const auto it = about->notes.metrics.find(policy_.metric);
    if (it != about->notes.metrics.end()) metric = it->second;
  }
  return metrics_.emplace(found.update, metric).first->second;
}

}  // namespace strata::trainer

#include "worker/code_cache.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/log.h"

namespace strata::worker {
namespace fs = std::filesystem;

// Sizes only: what is there was compared byte by byte when it was laid out.
bool CodeCache::is_whole(const link::ArtifactStore& store, const ContentHash& hash,
                         const fs::path& place) const {
  struct stat info {};
  if (::lstat(place.c_str(), &info) != 0) return false;
  const auto manifest = store.manifest(hash);
  if (!manifest) return true;  // the store is away; what was laid out is as good as ever
  return std::ranges::all_of(*manifest, [&](const auto& entry) {
    struct stat file {};
    return ::lstat((place / entry.first).c_str(), &file) == 0 && S_ISREG(file.st_mode) &&
           file.st_size == entry.second.bytes;
  });
}

Result<fs::path> CodeCache::lay_out(const link::ArtifactStore& store, const ContentHash& hash,
                                    const AttemptId& attempt) {
  const std::lock_guard lock(mutex_);
  const fs::path place = folder_ / hash.hex();
  if (!is_whole(store, hash, place)) {
    STRATA_CHECK_OK(link::remove_tree(place));
    STRATA_CHECK_OK(store.lay_out(hash, place));
  }
  users_.insert_or_assign(attempt, hash.hex());
  std::error_code error;
  fs::last_write_time(place, fs::file_time_type::clock::now(), error);  // used now
  remove_surplus();
  return place;
}

void CodeCache::release(const AttemptId& attempt) {
  const std::lock_guard lock(mutex_);
  users_.erase(attempt);
}

void CodeCache::remove_surplus() {
  std::vector<std::pair<fs::file_time_type, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error))
    found.emplace_back(entry.last_write_time(error), entry.path());
  std::ranges::sort(found);
  std::size_t left = found.size();
  for (const auto& [time, path] : found) {
    if (left <= kept_) return;
    const bool used = std::ranges::any_of(
        users_, [&, name = path.filename()](const auto& user) { return name == user.second; });
    if (used) continue;
    if (const auto removed = link::remove_tree(path); !removed)
      log_warning("worker", "{}", removed.error().message);
    --left;
  }
}

std::vector<std::string> command_in(std::vector<std::string> argv, const fs::path& code) {
  if (code.empty()) return argv;
  for (std::string& word : argv) {
    for (std::size_t at = 0; (at = word.find(kCodeToken, at)) != std::string::npos;) {
      word.replace(at, kCodeToken.size(), code.string());
      at += code.string().size();
    }
  }
  return argv;
}

}  // namespace strata::worker

#include "cli/data_version.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <sstream>

#include "base/files.h"
#include "base/sha256.h"
#include "schema/artifact.h"

namespace strata::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTellEvery = 64;  // files

struct Remembered {
  std::string stamp{};  // size, time, inode
  std::string sha256{};
};
// By path relative to the root of the data. One line for each file, the name last:
// "SHA256 SIZE NANOSECONDS INODE NAME"; names with a line break are not remembered.
using Memory = std::map<std::string, Remembered>;

std::string stamp_of(const struct stat& info) {
  return fmt::format("{} {}{:09} {}", info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec,
                     info.st_ino);
}

Memory load(const fs::path& file) {
  Memory memory;
  const auto text = read_file(file);
  if (!text) return memory;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string sha256;
    std::string size;
    std::string time;
    std::string inode;
    if (!(words >> sha256 >> size >> time >> inode) || sha256.size() != 64) continue;
    std::string name;
    std::getline(words, name);
    if (!name.empty()) name.erase(0, 1);  // the space before it
    memory[name] = {.stamp = fmt::format("{} {} {}", size, time, inode), .sha256 = sha256};
  }
  return memory;
}

// That it cannot be kept costs time at the next plan, nothing else.
void save(const fs::path& file, const Memory& memory) {
  std::string text;
  for (const auto& [name, one] : memory) {
    if (name.find('\n') == std::string::npos)
      text += fmt::format("{} {} {}\n", one.sha256, one.stamp, name);
  }
  if (make_folder(file.parent_path())) (void)write_file_unsynced(file, text, 0600);
}

Result<struct stat> look_at(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return info;
  return fail(errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kUnavailable,
              "reading {}: {}", path.string(), std::strerror(errno));
}

}  // namespace

Result<std::string> DataVersions::of(const fs::path& path) const {
  STRATA_CHECK_OK(look_at(path));
  const fs::path file =
      cache_.empty() ? fs::path() : cache_ / ("data-" + sha256_hex(path.string()));
  const Memory before = file.empty() ? Memory{} : load(file);
  Memory now;
  DataProgress progress;
  bool read_any = false;
  const auto hash_of = [&](const fs::path& one, const std::string& name) -> Result<ManifestFile> {
    struct stat info {};
    if (::stat(one.c_str(), &info) != 0) return tl::unexpected(look_at(one).error());
    const std::string stamp = stamp_of(info);
    const auto known = before.find(name);
    ManifestFile out{.bytes = info.st_size};
    if (known != before.end() && known->second.stamp == stamp) {
      out.sha256 = known->second.sha256;
    } else {
      STRATA_TRY(out.sha256, sha256_file(one));
      read_any = true;
      progress.bytes += static_cast<std::uint64_t>(info.st_size);
    }
    if (std::time(nullptr) - info.st_mtim.tv_sec > kSettledAfter.count())
      now[name] = {.stamp = stamp, .sha256 = out.sha256};
    if (++progress.files % kTellEvery == 0 && tell_) tell_(path, progress);
    return out;
  };
  std::string version;
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    STRATA_TRY(const ManifestFile only, hash_of(path, ""));
    version = only.sha256;
  } else {
    Manifest manifest;
    for (auto it = fs::recursive_directory_iterator(path, error);
         it != fs::recursive_directory_iterator(); it.increment(error)) {
      if (error) break;
      const auto status = it->symlink_status(error);
      if (fs::is_directory(status)) continue;
      if (!fs::is_regular_file(status)) {
        return fail(ErrorCode::kInvalid,
                    "{}: is a symbolic link or a device; the data of a key are files and folders",
                    it->path().string());
      }
      if (manifest.size() >= kArtifactFilesMax)
        return fail(ErrorCode::kTooLarge, "{}: more than {} files", path.string(),
                    kArtifactFilesMax);
      const std::string name = it->path().lexically_relative(path).generic_string();
      STRATA_TRY(ManifestFile one, hash_of(it->path(), name));
      manifest.emplace(name, std::move(one));
    }
    if (error)
      return fail(ErrorCode::kUnavailable, "reading {}: {}", path.string(), error.message());
    version = sha256_hex(manifest_text(manifest));
  }
  if (read_any && !file.empty()) save(file, now);
  return "sha256:" + version;
}

fs::path user_cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/')
    return fs::path(cache) / "strata";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return fs::path(home) / ".cache/strata";
  return {};
}

}  // namespace strata::cli

// The version of data that a parameter names: of a file its SHA-256, of a folder that of the list
// of its files with their sizes and hashes. Hashes of files are remembered in the user's cache
// folder by path, size, time and inode, so that a large folder is read once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace strata::cli {

// A file that was changed so shortly before it was hashed may be changed again within the same
// tick of its file system's clock: it is not remembered.
inline constexpr std::chrono::seconds kSettledAfter{2};

struct DataProgress {
  std::size_t files = 0;
  std::uint64_t bytes = 0;  // read so far
};

class DataVersions {
 public:
  using Tell = std::function<void(const std::filesystem::path&, const DataProgress&)>;
  // `cache`: a folder of its own; empty: nothing is remembered.
  explicit DataVersions(std::filesystem::path cache, Tell tell = {})
      : cache_(std::move(cache)), tell_(std::move(tell)) {}

  // "sha256:...". kNotFound: not there. kInvalid: a symbolic link or a device in the folder.
  [[nodiscard]] Result<std::string> of(const std::filesystem::path& path) const;

 private:
  std::filesystem::path cache_;
  Tell tell_;
};

// $XDG_CACHE_HOME/strata, or ~/.cache/strata; empty where neither is known.
[[nodiscard]] std::filesystem::path user_cache_folder();

}  // namespace strata::cli

// A folder that lives as long as this object.
#pragma once

#include <filesystem>

#include "base/assert.h"
#include "base/files.h"

namespace strata::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    auto made = make_temporary_folder(std::filesystem::temp_directory_path(), "strata-test-");
    STRATA_ASSERT(made.has_value());
    path_ = std::filesystem::canonical(*made);
  }
  ~TemporaryFolder() {
    std::error_code error;  // artifacts are read-only
    for (auto it = std::filesystem::recursive_directory_iterator(path_, error);
         it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
      if (error) break;
      if (it->is_directory(error) && !it->is_symlink(error)) {
        std::filesystem::permissions(it->path(), std::filesystem::perms::owner_all,
                                     std::filesystem::perm_options::add, error);
      }
    }
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace strata::testing

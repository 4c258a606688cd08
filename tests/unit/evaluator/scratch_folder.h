// A folder that goes away with the test.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/files.h"

namespace strata::evaluator {

class ScratchFolder : public ::testing::Test {
 protected:
  ScratchFolder()
      : folder_(make_temporary_folder(std::filesystem::temp_directory_path(), "strata-evaluator-")
                    .value()) {}
  ~ScratchFolder() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    EXPECT_TRUE(make_folder((folder_ / name).parent_path()).has_value());
    EXPECT_TRUE(write_file_atomic(folder_ / name, text).has_value());
    return folder_ / name;
  }
  [[nodiscard]] std::string read(const std::filesystem::path& relative) const {
    return read_file(folder_ / relative).value_or("(missing)");
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace strata::evaluator

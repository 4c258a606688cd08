// Work that is done item by item and survives an interruption: one folder with one file for each
// finished item. A checkpoint is a copy of it (hard links where the file system has them), and a
// later attempt begins with what it finds.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "base/value.h"
#include "trainer/progress.h"
#include "trainer/stage_spec.h"

namespace strata::trainer {

class ItemStore {
 public:
  // Opens `folder` in the attempt folder. Takes over the items of spec.resume, and those already in
  // `folder`, if they were made under the same `settings`; items of other settings are thrown away.
  [[nodiscard]] static Result<ItemStore> open(const std::filesystem::path& folder,
                                              const StageSpec& spec, const Value& settings);

  // The folder as another rank opened it; REQUIRES: that was done.
  [[nodiscard]] static ItemStore join(const std::filesystem::path& folder) {
    return ItemStore(folder);
  }

  // A finished item is a file that was written atomically under this path.
  [[nodiscard]] std::filesystem::path path(const std::string& file) const { return folder_ / file; }
  [[nodiscard]] bool has(const std::string& file) const;
  // Copies everything to checkpoints/<step> and announces it.
  [[nodiscard]] Status checkpoint(std::int64_t step, Progress& progress) const;
  // Frees the disk once the output is complete; errors do not matter.
  void discard() const;

 private:
  explicit ItemStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  std::filesystem::path folder_;
};

// Checkpoints are taken by time: an item may cost 10 ms or 10 s.
inline constexpr double kItemCheckpointSeconds = 60;

}  // namespace strata::trainer

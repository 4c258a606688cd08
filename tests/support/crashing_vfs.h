// A layer between SQLite and the file system that writes down what SQLite does to its files, and
// then gives the disk as it might be after a power cut at any point of it.
//
// What a disk may do (SQLite's own assumptions, sqlite.org/psow.html): whatever was synced is
// there. Of what was not, any part may be there, in any order, torn between sectors, cut short;
// files that were made or deleted since may or may not be. The shared-memory file is not kept over
// a power cut: SQLite makes it anew.
//
// Syncs are written down and not done, which is also why tests with it are quick.
//
// Thread rule: SQLite may work on several threads; the object itself is made and destroyed while
// none does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace strata::testing {

inline constexpr std::size_t kSectorBytes = 512;

enum class FileOp { kCreate, kWrite, kTruncate, kSync, kDelete };

struct RecordedOp {
  FileOp op = FileOp::kWrite;
  std::string file{};       // its name without the folder
  std::int64_t offset = 0;  // kWrite; of kTruncate: the new size
  std::string bytes{};
};

// Names of files and what is in them.
using DiskImage = std::map<std::string, std::string>;

class CrashingVfs {
 public:
  // From now on it is SQLite's default in this process, and writes down what is done to files in
  // `folder`. One at a time.
  explicit CrashingVfs(const std::filesystem::path& folder);
  ~CrashingVfs();
  CrashingVfs(const CrashingVfs&) = delete;
  CrashingVfs& operator=(const CrashingVfs&) = delete;

  // The number of operations so far: what is acknowledged now was asked of the disk before it.
  [[nodiscard]] std::size_t point() const;

  // The disk after a power cut when the first `point` operations had been asked of it. Same seed,
  // same disk. `honest_syncs` is up to which operation a sync does what it says: a disk that lies
  // takes them for done without writing.
  [[nodiscard]] DiskImage after_power_cut(std::size_t point, std::uint64_t seed,
                                          std::size_t honest_syncs = SIZE_MAX) const;
};

// Makes `folder` hold exactly these files.
void write_image(const DiskImage& image, const std::filesystem::path& folder);

}  // namespace strata::testing

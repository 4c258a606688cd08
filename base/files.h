// Files as values: whole reads, atomic whole writes, durable appends.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace strata {

inline constexpr std::uint64_t kReadFileMax = 256ULL
                                              << 20;  // larger files are streamed, not read whole

[[nodiscard]] Result<std::string> read_file(const std::filesystem::path& path,
                                            std::uint64_t limit = kReadFileMax);

// After it returns, the path holds either the old bytes or all the new ones, also after a power
// cut: written beside, synced, renamed, folder synced. `mode` is the file's permission bits.
[[nodiscard]] Status write_file_atomic(const std::filesystem::path& path, std::string_view bytes,
                                       unsigned mode = 0644);

// Whole or not at all for whoever reads it, but not synced: for what need not outlive the boot.
[[nodiscard]] Status write_file_unsynced(const std::filesystem::path& path, std::string_view bytes,
                                         unsigned mode = 0644);

// Over what is there, neither whole at once nor synced: for a file that nobody reads yet. Does not
// empty the file first: some file systems write one to the disk at once that was emptied before.
[[nodiscard]] Status write_file_in_place(const std::filesystem::path& path, std::string_view bytes,
                                         unsigned mode = 0644);

// create_directories with an error that names the path.
[[nodiscard]] Status make_folder(const std::filesystem::path& path);

// A fresh folder below `parent`, named `prefix` plus random letters.
[[nodiscard]] Result<std::filesystem::path> make_temporary_folder(
    const std::filesystem::path& parent, std::string_view prefix);

// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

// Lines that must survive a crash of the process: each append is one write(2) to an O_APPEND file.
class LineAppender {
 public:
  static Result<LineAppender> open(const std::filesystem::path& path);
  // REQUIRES: `line` holds no newline.
  [[nodiscard]] Status append(std::string_view line);

 private:
  explicit LineAppender(FileDescriptor fd, std::filesystem::path path)
      : fd_(std::move(fd)), path_(std::move(path)) {}
  FileDescriptor fd_;
  std::filesystem::path path_;
};

}  // namespace strata

#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace strata {
namespace {

tl::unexpected<Error> system_failure(std::string_view what, const std::filesystem::path& path) {
  const int error = errno;
  return fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable, "{} {}: {}", what,
              path.string(), std::strerror(error));
}

Status write_all(int fd, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_failure("writing", path);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Status sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor fd(
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return system_failure("opening the folder", folder);
  // Some network file systems cannot sync folders; the rename itself is then as durable as they
  // make it.
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP)
    return system_failure("syncing the folder", folder);
  return {};
}

}  // namespace

FileDescriptor::~FileDescriptor() { reset(); }
FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {}
FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}
void FileDescriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t limit) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return system_failure("reading", path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return system_failure("reading", path);
  if (S_ISDIR(info.st_mode))
    return fail(ErrorCode::kInvalid, "reading {}: it is a folder", path.string());
  std::string bytes;
  bytes.reserve(std::min<std::size_t>(static_cast<std::size_t>(info.st_size), limit));
  std::string buffer(1 << 16, '\0');
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return system_failure("reading", path);
    if (n == 0) return bytes;
    bytes.append(buffer, 0, static_cast<std::size_t>(n));
    if (bytes.size() > limit) {
      return fail(ErrorCode::kTooLarge, "reading {}: it is larger than {} bytes", path.string(),
                  limit);
    }
  }
}

namespace {
Status write_and_rename(const std::filesystem::path& path, std::string_view bytes, unsigned mode,
                        bool synced) {
  std::string beside = path.string() + ".XXXXXX";
  const FileDescriptor fd(::mkostemp(beside.data(), O_CLOEXEC));
  if (!fd.valid()) return system_failure("writing", path);
  const auto undo = [&](Status status) {
    ::unlink(beside.c_str());
    return status;
  };
  if (auto status = write_all(fd.get(), bytes, path); !status) return undo(status);
  if (::fchmod(fd.get(), mode) != 0) return undo(system_failure("setting the mode of", path));
  if (synced && ::fsync(fd.get()) != 0) return undo(system_failure("syncing", path));
  if (::rename(beside.c_str(), path.c_str()) != 0) return undo(system_failure("renaming to", path));
  return synced ? sync_folder(path.parent_path()) : Status();
}
}  // namespace

Status write_file_atomic(const std::filesystem::path& path, std::string_view bytes, unsigned mode) {
  return write_and_rename(path, bytes, mode, true);
}

Status write_file_unsynced(const std::filesystem::path& path, std::string_view bytes,
                           unsigned mode) {
  return write_and_rename(path, bytes, mode, false);
}

Status write_file_in_place(const std::filesystem::path& path, std::string_view bytes,
                           unsigned mode) {
  const FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, mode));
  if (!fd.valid()) return system_failure("writing", path);
  STRATA_CHECK_OK(write_all(fd.get(), bytes, path));
  struct stat about {};
  if (::fstat(fd.get(), &about) != 0) return system_failure("looking at", path);
  if (static_cast<std::uint64_t>(about.st_size) == bytes.size()) return {};
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes.size())) != 0)
    return system_failure("cutting", path);
  return {};
}

Status make_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error)
    return fail(ErrorCode::kUnavailable, "making the folder {}: {}", path.string(),
                error.message());
  return {};
}

Result<std::filesystem::path> make_temporary_folder(const std::filesystem::path& parent,
                                                    std::string_view prefix) {
  std::string pattern = (parent / std::string(prefix)).string() + "XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) return system_failure("making a folder in", parent);
  return std::filesystem::path(pattern);
}

Result<LineAppender> LineAppender::open(const std::filesystem::path& path) {
  FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd.valid()) return system_failure("opening", path);
  return LineAppender(std::move(fd), path);
}

Status LineAppender::append(std::string_view line) {
  STRATA_ASSERT(line.find('\n') == std::string_view::npos);
  std::string bytes(line);
  bytes += '\n';
  return write_all(fd_.get(), bytes, path_);
}

}  // namespace strata

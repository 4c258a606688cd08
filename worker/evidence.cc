#include "worker/evidence.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace strata::worker {
namespace {

constexpr std::size_t kKernelRecordBytes = 8'192;  // the kernel's own limit of one record

// Of GPUs and of broken hardware. What the kernel says of other processes (segmentation faults, who
// was killed) is not about this program.
bool is_about_devices(const std::string& line) {
  static constexpr std::array<std::string_view, 3> kWords{"NVRM:", "[Hardware Error]", "EDAC MC"};
  return std::any_of(kWords.begin(), kWords.end(),
                     [&](std::string_view word) { return line.find(word) != std::string::npos; });
}

std::vector<std::string> read_kernel(int fd) {
  std::vector<std::string> lines;
  std::array<char, kKernelRecordBytes> bytes{};
  for (std::size_t count = 0; count < kKernelRecordsMax; ++count) {
    const ssize_t got = ::read(fd, bytes.data(), bytes.size());
    if (got < 0 && (errno == EPIPE || errno == EINTR)) continue;  // EPIPE: some were overwritten
    if (got <= 0) break;                                          // EAGAIN: no more
    auto line = parse_kernel_record({bytes.data(), static_cast<std::size_t>(got)});
    if (line && is_about_devices(*line) && lines.size() < kKernelLinesMax)
      lines.push_back(std::move(*line));
  }
  return lines;
}

}  // namespace

std::optional<std::string> parse_kernel_record(std::string_view record) {
  const std::size_t prefix = record.find(';');
  if (prefix == std::string_view::npos || record.empty() || record.front() < '0' ||
      record.front() > '9')
    return {};
  const std::string_view text = record.substr(prefix + 1);
  return std::string(text.substr(0, text.find('\n')));
}

std::vector<LogLine> read_log_tail(const std::filesystem::path& log_file, const Secrets& secrets) {
  // One byte more: it says whether the first line is whole.
  constexpr off_t kBytes = static_cast<off_t>(kLogTailBytesMax) + 1;
  const FileDescriptor fd(::open(log_file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return {};
  const off_t size = ::lseek(fd.get(), 0, SEEK_END);
  if (size <= 0) return {};
  const off_t from = std::max<off_t>(0, size - kBytes);
  std::string text(static_cast<std::size_t>(size - from), '\0');
  const ssize_t got = ::pread(fd.get(), text.data(), text.size(), from);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  if (from > 0) text.erase(0, text.find('\n'));  // what is left of a line may be half of a secret
  return log_tail(secrets.redact(text));
}

Witness Witness::begin(const std::filesystem::path& kernel_log, Cgroup cgroup) {
  FileDescriptor fd(::open(kernel_log.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (fd.valid() && ::lseek(fd.get(), 0, SEEK_END) < 0) fd.reset();
  Witness witness(std::move(fd), std::move(cgroup));
  witness.oom_kills_before_ = witness.cgroup_.oom_kills();
  return witness;
}

Evidence Witness::testify(const std::filesystem::path& log_file, const Secrets& secrets) {
  Evidence evidence{.log = read_log_tail(log_file, secrets)};
  if (kernel_log_.valid()) evidence.kernel = read_kernel(kernel_log_.get());
  const auto now = cgroup_.oom_kills();
  if (now && oom_kills_before_)
    evidence.oom_kills = std::max<std::int64_t>(0, *now - *oom_kills_before_);
  return evidence;
}

}  // namespace strata::worker

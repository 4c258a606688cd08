#include "coordinator/store_tip.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "schema/codec.h"

namespace strata::coordinator {
namespace {

// "SEQ CHAIN CHECK\n" in hexadecimal: always as long, so that it is written in place.
std::string text_of(const Tip& tip) {
  const std::string said = fmt::format("{:016x} {:08x}", tip.seq, tip.chain);
  return fmt::format("{} {:08x}\n", said, crc32c(said));
}

template <class T>
T parse_hex(std::string_view digits) {
  T value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return value;
}

}  // namespace

std::filesystem::path tip_file(const std::filesystem::path& database) {
  return database.string() + "-tip";
}

std::optional<Tip> read_tip(const std::filesystem::path& database) {
  const auto text = read_file(tip_file(database));
  if (!text || text->size() != text_of({}).size()) return std::nullopt;
  const Tip tip{.seq = parse_hex<std::uint64_t>(std::string_view(*text).substr(0, 16)),
                .chain = parse_hex<std::uint32_t>(std::string_view(*text).substr(17, 8))};
  if (*text != text_of(tip)) return std::nullopt;
  return tip;
}

Result<TipWriter> TipWriter::open(const std::filesystem::path& database) {
  const std::filesystem::path file = tip_file(database);
  FileDescriptor fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (fd.valid()) return TipWriter(std::move(fd));
  return fail(ErrorCode::kUnavailable, "opening {}: {}", file.string(), std::strerror(errno));
}

void TipWriter::write(const Tip& tip) const {
  const std::string text = text_of(tip);
  [[maybe_unused]] const ssize_t written = ::pwrite(fd_.get(), text.data(), text.size(), 0);
}

}  // namespace strata::coordinator

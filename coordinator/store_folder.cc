#include "coordinator/store_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/fields.h"
#include "base/host.h"
#include "base/json.h"
#include "link/address_file.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

Status refuse_network(const fs::path& path) {
  struct statfs info {};
  if (statfs(path.c_str(), &info) != 0) {
    return fail(ErrorCode::kUnavailable, "asking for the file system of {}: {}", path.string(),
                std::strerror(errno));
  }
  const char* name = network_filesystem(static_cast<std::int64_t>(info.f_type));
  if (name == nullptr) return {};
  return fail(ErrorCode::kUnsupported,
              "the store {} lies on {}, where SQLite's log is not safe: name a folder on a local "
              "disk with --store, or "
              "take the risk with --force-network-filesystem",
              path.string(), name);
}

}  // namespace

const char* network_filesystem(std::int64_t type) {
  // statfs(2); as unsigned, because some of them do not fit a signed 32-bit f_type.
  switch (static_cast<std::uint32_t>(type)) {
    case 0x6969: return "NFS";
    case 0x0BD00BD0: return "Lustre";
    case 0x47504653: return "GPFS";
    case 0x19830326: return "BeeGFS";
    case 0x00C36400: return "CephFS";
    case 0x517B: return "SMB";
    case 0xFF534D42: return "CIFS";
    case 0xFE534D42: return "SMB2";
    case 0x5346414F: return "AFS";
    default: return nullptr;
  }
}

fs::path StoreFolder::address_file() const { return path_ / link::kAddressFileName; }

Result<StoreFolder> StoreFolder::open(const fs::path& path, bool force_network_filesystem) {
  STRATA_CHECK_OK(make_folder(path));
  const fs::path absolute = fs::absolute(path);
  if (!force_network_filesystem) STRATA_CHECK_OK(refuse_network(absolute));
  if (chmod(absolute.c_str(), 0700) != 0) {
    return fail(ErrorCode::kUnavailable, "closing {} to others: {}", absolute.string(),
                std::strerror(errno));
  }
  const fs::path lock_path = absolute / "lock";
  FileDescriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid())
    return fail(ErrorCode::kUnavailable, "opening {}: {}", lock_path.string(),
                std::strerror(errno));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    const int why = errno;
    const auto holder = read_file(lock_path);
    if (why != EWOULDBLOCK)
      return fail(ErrorCode::kUnavailable, "locking {}: {}", lock_path.string(),
                  std::strerror(why));
    return fail(ErrorCode::kConflict,
                "another coordinator lives in {}: {}; stop it first, or use another --store",
                absolute.string(),
                holder && !holder->empty() ? *holder : std::string("its name is not known yet"));
  }
  const std::string text = fmt::format("pid {} on {} (boot {})", getpid(), host_name(), boot_id());
  if (ftruncate(lock.get(), 0) != 0 ||
      pwrite(lock.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    return fail(ErrorCode::kUnavailable, "writing {}: {}", lock_path.string(),
                std::strerror(errno));
  }
  return StoreFolder(absolute, std::move(lock));
}

Result<CurveKeys> StoreFolder::keys() const {
  const fs::path file = keys_file();
  std::error_code ignored;
  if (fs::exists(file, ignored)) {
    STRATA_TRY(const std::string text, read_file(file));
    STRATA_TRY(const Value value, parse_json(text));
    Fields fields(value, file.string());
    CurveKeys keys{.public_key = fields.text("public_key"),
                   .secret_key = fields.text("secret_key")};
    STRATA_CHECK_OK(fields.finish());
    return keys;
  }
  STRATA_TRY(CurveKeys keys, make_curve_keys());
  STRATA_CHECK_OK(write_file_atomic(
      file,
      to_pretty_json(Object{{"public_key", keys.public_key}, {"secret_key", keys.secret_key}}) +
          "\n",
      0600));
  return keys;
}

}  // namespace strata::coordinator

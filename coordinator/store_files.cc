#include "coordinator/store_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "coordinator/projector.h"
#include "coordinator/store_name.h"
#include "coordinator/store_tip.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

Status failed(std::string_view doing, const fs::path& what, const std::error_code& error) {
  if (!error) return {};
  return fail(ErrorCode::kUnavailable, "{} {}: {}", doing, what.string(), error.message());
}

// A second name for the file, in the folder `to`: a link where the file system has them.
Status keep(const fs::path& file, const fs::path& to) {
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  fs::create_hard_link(file, to / file.filename(), error);
  if (!error) return {};
  fs::copy_file(file, to / file.filename(), error);
  STRATA_CHECK_OK(failed("keeping", file, error));
  return sync_path(to / file.filename());
}

}  // namespace

Status sync_path(const fs::path& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  // Some network file systems cannot sync folders: a rename is then as durable as they make it.
  if (fd.valid() && (::fsync(fd.get()) == 0 || errno == EINVAL || errno == ENOTSUP)) return {};
  return fail(ErrorCode::kUnavailable, "syncing {}: {}", path.string(), std::strerror(errno));
}

Result<std::string> replace_databases(const StoreFolder& folder, const fs::path& made) {
  const fs::path tables = tables_file(folder.events_file());
  const std::vector<fs::path> files{folder.metrics_file(), tables, folder.events_file()};
  const fs::path aside = folder.path() / fmt::format("replaced-{}", SystemClock().wall().unix_ms);
  std::error_code error;
  for (const fs::path& file : files) {
    if (!fs::exists(made / file.filename(), error)) {
      return fail(ErrorCode::kInternal, "{} was not made: nothing is replaced",
                  (made / file.filename()).string());
    }
    const fs::path log = (made / file.filename()).string() + "-wal";
    if (fs::exists(log, error) && fs::file_size(log, error) > 0)  // readers leave empty ones
      return fail(ErrorCode::kUnavailable, "{} could not be taken into its database", log.string());
  }
  bool kept = false;
  for (const fs::path& file : files) {
    if (!fs::exists(file, error)) continue;
    kept = true;
    STRATA_CHECK_OK(make_folder(aside));
    for (const char* end : {"", "-wal", "-tip", "-name"})
      STRATA_CHECK_OK(keep(file.string() + end, aside));
  }
  if (kept) STRATA_CHECK_OK(sync_path(aside));
  for (const fs::path& file : files) {
    // The old log must not be read into the new database. What is left without it is missed by the
    // file's tip, which is replaced after it.
    for (const char* end : {"-wal", "-shm"}) {
      fs::remove(file.string() + end, error);
      STRATA_CHECK_OK(failed("removing", file.string() + end, error));
    }
    // Before the log: a log without events that is still there takes any name.
    const fs::path name = name_file(made / file.filename());
    if (fs::exists(name, error)) fs::rename(name, name_file(file), error);
    STRATA_CHECK_OK(failed("moving into place", name_file(file), error));
    STRATA_CHECK_OK(sync_path(folder.path()));
    fs::rename(made / file.filename(), file, error);
    STRATA_CHECK_OK(failed("moving into place", file, error));
    const fs::path tip = tip_file(made / file.filename());
    if (!fs::exists(tip, error)) {
      fs::remove(tip_file(file), error);
    } else {
      fs::rename(tip, tip_file(file), error);
    }
    STRATA_CHECK_OK(failed("moving into place", tip_file(file), error));
  }
  STRATA_CHECK_OK(sync_path(folder.path()));
  fs::remove_all(made, error);
  return kept ? aside.string() : std::string();
}

}  // namespace strata::coordinator

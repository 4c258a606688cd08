#include "link/artifact_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/files.h"
#include "base/sha256.h"
#include "base/utf8.h"

namespace strata::link {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kCopyBytes = 1U << 20U;
constexpr std::size_t kSyncEachMax = 32;  // above that one sync of the whole file system is cheaper
constexpr std::uint64_t kManifestBytesMax = 512ULL << 20U;

tl::unexpected<Error> system_failure(std::string_view what, const fs::path& path) {
  const int error = errno;
  return fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kUnavailable, "{} {}: {}", what,
              path.string(), std::strerror(error));
}

struct Scan {
  bool single_file = false;
  std::vector<std::string> files{};  // relative, "" for a single file
  std::vector<std::string>
      folders{};  // relative, parents before children, without the source itself
};

Status refuse(const fs::path& path, const char* what) {
  return fail(ErrorCode::kInvalid,
              "{}: is {}; an artifact holds only files and folders: copy what it stands for",
              path.string(), what);
}

Status scan_entry(const fs::path& path, const std::string& relative, Scan& scan) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return system_failure("reading", path);
  if (!is_valid_utf8(relative))
    return fail(ErrorCode::kInvalid, "{}: the name is not UTF-8", path.string());
  if (S_ISREG(info.st_mode)) {
    scan.files.push_back(relative);
    if (scan.files.size() > kArtifactFilesMax) {
      return fail(ErrorCode::kTooLarge, "{}: an artifact holds at most {} files", path.string(),
                  kArtifactFilesMax);
    }
    return {};
  }
  if (S_ISDIR(info.st_mode)) {
    scan.folders.push_back(relative);
    return {};
  }
  return refuse(path, S_ISLNK(info.st_mode) ? "a symbolic link" : "a device, socket or pipe");
}

Result<Scan> scan_source(const fs::path& source) {
  Scan scan;
  STRATA_CHECK_OK(scan_entry(source, "", scan));
  if (!scan.files.empty()) {
    scan.single_file = true;
    return scan;
  }
  scan.folders.clear();
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(source, error);
       it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (error) break;
    STRATA_CHECK_OK(
        scan_entry(it->path(), it->path().lexically_relative(source).generic_string(), scan));
  }
  if (error)
    return fail(ErrorCode::kUnavailable, "reading {}: {}", source.string(), error.message());
  return scan;
}

fs::path join(const fs::path& folder, const std::string& relative) {
  return relative.empty() ? folder : folder / relative;
}

// One pass over the bytes, so that the hash is of exactly what was written.
Result<ManifestFile> copy_and_hash(const fs::path& from, const fs::path& to) {
  const FileDescriptor in(::open(from.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!in.valid()) return system_failure("reading", from);
  const FileDescriptor out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!out.valid()) return system_failure("writing", to);
  Sha256 hash;
  ManifestFile file;
  std::string buffer(kCopyBytes, '\0');
  for (;;) {
    const ssize_t got = ::read(in.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure("reading", from);
    if (got == 0) break;
    std::string_view rest(buffer.data(), static_cast<std::size_t>(got));
    hash.update(rest);
    file.bytes += got;
    while (!rest.empty()) {
      const ssize_t put = ::write(out.get(), rest.data(), rest.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return system_failure("writing", to);
      rest.remove_prefix(static_cast<std::size_t>(put));
    }
  }
  file.sha256 = hash.hex_digest();
  return file;
}

Result<Manifest> copy_tree(const fs::path& source, const Scan& scan, const fs::path& target) {
  if (!scan.single_file) STRATA_CHECK_OK(make_folder(target));
  for (const std::string& folder : scan.folders) STRATA_CHECK_OK(make_folder(join(target, folder)));
  Manifest manifest;
  for (const std::string& name : scan.files) {
    STRATA_TRY(ManifestFile file, copy_and_hash(join(source, name), join(target, name)));
    manifest.emplace(name, std::move(file));
  }
  return manifest;
}

Result<Manifest> hash_tree(const fs::path& root, const Scan& scan) {
  Manifest manifest;
  for (const std::string& name : scan.files) {
    const fs::path path = join(root, name);
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) return system_failure("reading", path);
    STRATA_TRY(std::string digest, sha256_file(path));
    manifest.emplace(name, ManifestFile{.bytes = info.st_size, .sha256 = std::move(digest)});
  }
  return manifest;
}

Status sync_path(const fs::path& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return system_failure("syncing", path);
  if (::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP)
    return system_failure("syncing", path);
  return {};
}

// Read-only, and on the disk.
Status seal(const fs::path& content, const Scan& scan) {
  for (const std::string& name : scan.files) {
    if (::chmod(join(content, name).c_str(), 0444) != 0)
      return system_failure("making read-only", join(content, name));
  }
  if (scan.files.size() + scan.folders.size() > kSyncEachMax) {
    const FileDescriptor fd(::open(content.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd.valid() || ::syncfs(fd.get()) != 0) return system_failure("syncing", content);
  } else {
    for (const std::string& name : scan.files) STRATA_CHECK_OK(sync_path(join(content, name)));
    for (const std::string& name : scan.folders) STRATA_CHECK_OK(sync_path(join(content, name)));
    if (!scan.single_file) STRATA_CHECK_OK(sync_path(content));
  }
  // Children before parents is not needed: a read-only folder is still searched.
  for (const std::string& name : scan.folders) ::chmod(join(content, name).c_str(), 0555);
  if (!scan.single_file) ::chmod(content.c_str(), 0555);
  return {};
}

}  // namespace

// Folders of the store cannot be emptied while they are read-only (unless root asks).
Status remove_tree(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(fs::symlink_status(path, error))) {
    ::chmod(path.c_str(), 0755);
    for (auto it = fs::recursive_directory_iterator(path, error);
         it != fs::recursive_directory_iterator(); it.increment(error)) {
      if (error) break;
      if (it->is_directory(error) && !it->is_symlink(error)) ::chmod(it->path().c_str(), 0755);
    }
  }
  fs::remove_all(path, error);
  if (error)
    return fail(ErrorCode::kUnavailable, "removing {}: {}", path.string(), error.message());
  return {};
}

Result<ArtifactStore> ArtifactStore::open(const fs::path& root, std::string_view coordinator_id) {
  if (root.empty()) return fail(ErrorCode::kInvalid, "artifact store: no folder was named");
  std::error_code error;
  const fs::path absolute = fs::absolute(root, error);
  if (error)
    return fail(ErrorCode::kUnavailable, "artifact store {}: {}", root.string(), error.message());
  ArtifactStore store(absolute, absolute / artifact_folder_marker(coordinator_id));
  STRATA_CHECK_OK(store.reachable());
  STRATA_CHECK_OK(make_folder(absolute / "tmp"));
  return store;
}

Status ArtifactStore::reachable() const {
  struct stat info {};
  if (::stat(marker_.c_str(), &info) == 0) return {};
  return fail(ErrorCode::kUnavailable,
              "artifact store {}: this machine does not see the coordinator's folder there ({}: "
              "{}); mount it at this path",
              root_.string(), marker_.string(), std::strerror(errno));
}

fs::path ArtifactStore::folder(const ContentHash& hash) const {
  const std::string hex = hash.hex();
  return root_ / hex.substr(0, 2) / hex;
}

Result<ArtifactRef> ArtifactStore::commit(const fs::path& source, Take take) const {
  STRATA_TRY(const Scan scan, scan_source(source));
  STRATA_TRY(const fs::path building, make_temporary_folder(root_ / "tmp", "new-"));
  const auto undo = [&](Error error) {
    if (auto removed = remove_tree(building); !removed)
      error.message += "; and " + removed.error().message;
    return tl::unexpected(error.while_doing("storing " + source.string()));
  };
  const fs::path target = building / "content";
  Result<Manifest> manifest = Manifest{};
  bool moved = false;
  if (take == Take::kMove) {
    manifest = hash_tree(source, scan);
    if (!manifest) return undo(manifest.error());
    const ContentHash hash = ref_of(*manifest).hash;
    if (verify(hash, Verify::kSizes)) {
      STRATA_CHECK_OK(remove_tree(building));
      return ref_of(*manifest);
    }
    moved = ::rename(source.c_str(), target.c_str()) == 0;
    if (!moved && errno != EXDEV) return undo(system_failure("moving", source).value());
  }
  if (!moved) manifest = copy_tree(source, scan, target);
  if (!manifest) return undo(manifest.error());
  if (auto status = seal(target, scan); !status) return undo(status.error());
  if (auto status = write_file_atomic(building / "manifest.json", manifest_text(*manifest), 0444);
      !status) {
    return undo(status.error());
  }
  const ArtifactRef ref = ref_of(*manifest);
  if (auto status = publish(building, ref.hash); !status) return undo(status.error());
  return ref;
}

Status ArtifactStore::publish(const fs::path& built, const ContentHash& hash) const {
  const fs::path place = folder(hash);
  STRATA_CHECK_OK(make_folder(place.parent_path()));
  // The second round is for one that was found damaged and put aside; the third for one that came
  // at the same time.
  for (int round = 0; round < 3; ++round) {
    if (::rename(built.c_str(), place.c_str()) == 0) {
      ::chmod(place.c_str(), 0555);
      return sync_path(place.parent_path());
    }
    if (errno != ENOTEMPTY && errno != EEXIST) return system_failure("renaming to", place);
    const Status there = verify(hash, Verify::kSizes);
    if (there) return remove_tree(built);
    const ErrorCode why = there.error().code;
    if (why != ErrorCode::kDamaged && why != ErrorCode::kNotFound) return there;
    STRATA_TRY(const fs::path aside, make_temporary_folder(root_ / "tmp", "damaged-"));
    ::chmod(place.c_str(), 0755);
    if (::rename(place.c_str(), (aside / "artifact").c_str()) != 0 && errno != ENOENT) {
      return system_failure("putting aside", place);
    }
    STRATA_CHECK_OK(remove_tree(aside));
  }
  return fail(ErrorCode::kConflict, "artifact {}: others keep replacing it", hash.brief());
}

Result<Manifest> ArtifactStore::manifest(const ContentHash& hash) const {
  STRATA_TRY(const std::string text, read_file(folder(hash) / "manifest.json", kManifestBytesMax));
  if (content_hash_of(text) != hash) {
    return fail(ErrorCode::kDamaged, "artifact {}: its manifest is not the one that was stored",
                hash.brief());
  }
  return parse_manifest(text);
}

Status ArtifactStore::verify(const ContentHash& hash, Verify how) const {
  STRATA_CHECK_OK(reachable());
  STRATA_TRY(const Manifest files, manifest(hash));
  for (const auto& [name, file] : files) {
    const fs::path path = join(content(hash), name);
    struct stat info {};
    const bool found = ::lstat(path.c_str(), &info) == 0;
    if (!found && errno != ENOENT && errno != ENOTDIR) return system_failure("reading", path);
    if (!found || !S_ISREG(info.st_mode)) {
      return fail(ErrorCode::kDamaged, "artifact {}: {} is missing", hash.brief(), path.string());
    }
    if (info.st_size != file.bytes) {
      return fail(ErrorCode::kDamaged, "artifact {}: {} has {} bytes, {} were stored", hash.brief(),
                  path.string(), info.st_size, file.bytes);
    }
    if (how == Verify::kHashes) {
      STRATA_TRY(const std::string digest, sha256_file(path));
      if (digest != file.sha256) {
        return fail(ErrorCode::kDamaged, "artifact {}: {} holds other bytes than were stored",
                    hash.brief(), path.string());
      }
    }
  }
  return {};
}

Status ArtifactStore::lay_out(const ContentHash& hash, const fs::path& target) const {
  STRATA_CHECK_OK(reachable());
  STRATA_TRY(const Manifest files, manifest(hash));
  STRATA_CHECK_OK(make_folder(target.parent_path()));
  STRATA_TRY(const fs::path building, make_temporary_folder(target.parent_path(), "new-"));
  const auto undo = [&](const Error& error) {
    (void)remove_tree(building);
    return tl::unexpected(error.while_doing(fmt::format("laying out {}", hash.brief())));
  };
  for (const auto& [name, file] : files) {
    const fs::path to = join(building, name);
    if (auto made = make_folder(to.parent_path()); !made) return undo(made.error());
    const auto copied = copy_and_hash(join(content(hash), name), to);
    if (!copied) return undo(copied.error());
    if (*copied != file)
      return undo(
          {ErrorCode::kDamaged, fmt::format("{} holds other bytes than were stored", name)});
    if (::chmod(to.c_str(), 0555) != 0) return undo(system_failure("chmod", to).value());
  }
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(building, error)) {
    if (entry.is_directory(error)) ::chmod(entry.path().c_str(), 0555);
  }
  if (::rename(building.c_str(), target.c_str()) != 0)
    return undo(system_failure("renaming to", target).value());
  ::chmod(target.c_str(), 0555);
  return {};
}

Status ArtifactStore::remove(const ContentHash& hash) const { return remove_tree(folder(hash)); }

void ArtifactStore::remove_abandoned(std::chrono::hours age) const {
  const auto limit = fs::file_time_type::clock::now() - age;
  std::error_code error;
  std::vector<fs::path> old;
  for (auto it = fs::directory_iterator(root_ / "tmp", error);
       !error && it != fs::directory_iterator(); it.increment(error)) {
    std::error_code unknown;
    const auto touched = it->last_write_time(unknown);
    if (!unknown && touched < limit) old.push_back(it->path());
  }
  for (const fs::path& path : old) (void)remove_tree(path);
}

}  // namespace strata::link

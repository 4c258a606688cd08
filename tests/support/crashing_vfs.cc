#include "tests/support/crashing_vfs.h"

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>

#include "base/assert.h"
#include "base/random.h"

namespace strata::testing {
namespace {

constexpr const char* kName = "strata-crashing";

struct Recorder {
  sqlite3_vfs* real = nullptr;
  std::string folder{};
  std::mutex mutex{};             // the log is written on one thread, the derived tables on another
  std::vector<RecordedOp> ops{};  // guarded

  void add(RecordedOp op) {
    const std::lock_guard lock(mutex);
    ops.push_back(std::move(op));
  }
  [[nodiscard]] std::optional<std::string> name_of(const char* path) const {
    if (path == nullptr || !std::string_view(path).starts_with(folder)) return std::nullopt;
    std::string name = std::string(path).substr(folder.size());
    if (name.find('/') != std::string::npos) return std::nullopt;
    return name;
  }
};

Recorder* recorder = nullptr;  // one at a time; SQLite's interface is of C functions

// SQLite allocates szOsFile bytes; the real file lies behind ours in them.
struct ShimFile {
  sqlite3_file base{};
  const std::string* name = nullptr;  // null: not of the folder
  [[nodiscard]] sqlite3_file* real() {
    return static_cast<sqlite3_file*>(static_cast<void*>(this + 1));
  }
};
ShimFile& shim(sqlite3_file* file) { return *static_cast<ShimFile*>(static_cast<void*>(file)); }
sqlite3_file* real(sqlite3_file* file) { return shim(file).real(); }
const sqlite3_io_methods* methods(sqlite3_file* file) { return real(file)->pMethods; }

void record(sqlite3_file* file, FileOp op, std::int64_t offset = 0, std::string bytes = {}) {
  if (recorder == nullptr || shim(file).name == nullptr) return;
  recorder->add({.op = op, .file = *shim(file).name, .offset = offset, .bytes = std::move(bytes)});
}

int close_file(sqlite3_file* file) {
  const int code = methods(file)->xClose(real(file));
  delete shim(file).name;
  shim(file).name = nullptr;
  return code;
}
int read(sqlite3_file* file, void* to, int bytes, sqlite3_int64 offset) {
  return methods(file)->xRead(real(file), to, bytes, offset);
}
int write(sqlite3_file* file, const void* from, int bytes, sqlite3_int64 offset) {
  record(file, FileOp::kWrite, offset,
         std::string(static_cast<const char*>(from), static_cast<std::size_t>(bytes)));
  return methods(file)->xWrite(real(file), from, bytes, offset);
}
int truncate(sqlite3_file* file, sqlite3_int64 size) {
  record(file, FileOp::kTruncate, size);
  return methods(file)->xTruncate(real(file), size);
}
int sync(sqlite3_file* file, int) {
  record(file, FileOp::kSync);
  return SQLITE_OK;
}
int file_size(sqlite3_file* file, sqlite3_int64* size) {
  return methods(file)->xFileSize(real(file), size);
}
int lock(sqlite3_file* file, int level) { return methods(file)->xLock(real(file), level); }
int unlock(sqlite3_file* file, int level) { return methods(file)->xUnlock(real(file), level); }
int check_reserved(sqlite3_file* file, int* out) {
  return methods(file)->xCheckReservedLock(real(file), out);
}
int file_control(sqlite3_file* file, int op, void* argument) {
  return methods(file)->xFileControl(real(file), op, argument);
}
int sector_size(sqlite3_file*) { return static_cast<int>(kSectorBytes); }
int characteristics(sqlite3_file* file) {
  return methods(file)->xDeviceCharacteristics(real(file));
}
int shm_map(sqlite3_file* file, int page, int size, int extend, void volatile** out) {
  return methods(file)->xShmMap(real(file), page, size, extend, out);
}
int shm_lock(sqlite3_file* file, int offset, int n, int flags) {
  return methods(file)->xShmLock(real(file), offset, n, flags);
}
void shm_barrier(sqlite3_file* file) { methods(file)->xShmBarrier(real(file)); }
int shm_unmap(sqlite3_file* file, int remove) {
  return methods(file)->xShmUnmap(real(file), remove);
}

const sqlite3_io_methods kMethods{.iVersion = 2,
                                  .xClose = close_file,
                                  .xRead = read,
                                  .xWrite = write,
                                  .xTruncate = truncate,
                                  .xSync = sync,
                                  .xFileSize = file_size,
                                  .xLock = lock,
                                  .xUnlock = unlock,
                                  .xCheckReservedLock = check_reserved,
                                  .xFileControl = file_control,
                                  .xSectorSize = sector_size,
                                  .xDeviceCharacteristics = characteristics,
                                  .xShmMap = shm_map,
                                  .xShmLock = shm_lock,
                                  .xShmBarrier = shm_barrier,
                                  .xShmUnmap = shm_unmap,
                                  .xFetch = nullptr,
                                  .xUnfetch = nullptr};

int open_file(sqlite3_vfs*, const char* path, sqlite3_file* file, int flags, int* out) {
  ShimFile& opened = shim(file);
  opened.base.pMethods = nullptr;
  opened.name = nullptr;
  const auto name = recorder->name_of(path);
  int exists = 0;
  if (name) recorder->real->xAccess(recorder->real, path, SQLITE_ACCESS_EXISTS, &exists);
  const int code = recorder->real->xOpen(recorder->real, path, opened.real(), flags, out);
  if (opened.real()->pMethods != nullptr) opened.base.pMethods = &kMethods;
  if (code != SQLITE_OK || !name) return code;
  opened.name = new std::string(*name);
  if (exists == 0) record(file, FileOp::kCreate);
  return code;
}
int delete_file(sqlite3_vfs*, const char* path, int sync_folder) {
  const int code = recorder->real->xDelete(recorder->real, path, 0);
  const auto name = recorder->name_of(path);
  // A synced deletion is marked by its offset.
  if (code == SQLITE_OK && name)
    recorder->add({.op = FileOp::kDelete, .file = *name, .offset = sync_folder});
  return code;
}

sqlite3_vfs shim_vfs{};

// What is asked of one file after its last honest sync.
struct PendingFile {
  std::string durable{};
  bool exists = false;  // durably
  std::vector<const RecordedOp*> waiting{};
};

void put(std::string& content, std::size_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  if (content.size() < offset + bytes.size()) content.resize(offset + bytes.size(), '\0');
  std::memcpy(content.data() + offset, bytes.data(), bytes.size());
}

void apply_whole(std::string& content, const RecordedOp& op) {
  if (op.op == FileOp::kWrite) put(content, static_cast<std::size_t>(op.offset), op.bytes);
  if (op.op == FileOp::kTruncate) content.resize(static_cast<std::size_t>(op.offset), '\0');
  if (op.op == FileOp::kDelete) content.clear();
}

// Some of its sectors, or its beginning.
void apply_torn(std::string& content, const RecordedOp& op, Random& random) {
  const std::string_view bytes = op.bytes;
  const auto offset = static_cast<std::size_t>(op.offset);
  if (random.bounded(3) == 0) {
    put(content, offset, bytes.substr(0, random.bounded(bytes.size() + 1)));
    return;
  }
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t end =
        std::min(bytes.size(), at + kSectorBytes - (offset + at) % kSectorBytes);
    if (random.bounded(2) == 0) put(content, offset + at, bytes.substr(at, end - at));
    at = end;
  }
}

// A third of the power cuts loses all that was not synced, a third keeps all but the last thing.
std::optional<std::string> survive(const PendingFile& file, bool last_is_torn, Random& random) {
  bool exists = file.exists;
  std::string content = file.durable;
  const std::uint64_t mood = random.bounded(3);
  std::vector<const RecordedOp*> order = file.waiting;
  if (mood == 2) {
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[random.bounded(i)]);
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    const RecordedOp& op = *order[i];
    if (mood == 0) break;
    const bool torn = mood == 2 ? random.bounded(3) == 0 : last_is_torn && i + 1 == order.size();
    if (mood == 2 && random.bounded(3) == 0) continue;
    if (op.op == FileOp::kCreate) exists = true;
    if (op.op == FileOp::kDelete) exists = false;
    if (op.op == FileOp::kWrite && torn) {
      apply_torn(content, op, random);
    } else {
      apply_whole(content, op);
    }
  }
  // A file whose directory entry was never written is not there, whatever became of its blocks.
  if (!exists) return std::nullopt;
  return content;
}

}  // namespace

CrashingVfs::CrashingVfs(const std::filesystem::path& folder) {
  STRATA_ASSERT(recorder == nullptr);
  recorder = new Recorder;
  recorder->real = sqlite3_vfs_find(nullptr);
  recorder->folder = folder.string() + "/";
  shim_vfs = *recorder->real;
  shim_vfs.szOsFile = static_cast<int>(sizeof(ShimFile)) + recorder->real->szOsFile;
  shim_vfs.zName = kName;
  shim_vfs.pNext = nullptr;
  shim_vfs.xOpen = open_file;
  shim_vfs.xDelete = delete_file;
  sqlite3_vfs_register(&shim_vfs, 1);
}

CrashingVfs::~CrashingVfs() {
  sqlite3_vfs_unregister(&shim_vfs);
  sqlite3_vfs_register(recorder->real, 1);
  delete recorder;
  recorder = nullptr;
}

std::size_t CrashingVfs::point() const {
  const std::lock_guard lock(recorder->mutex);
  return recorder->ops.size();
}

DiskImage CrashingVfs::after_power_cut(std::size_t point, std::uint64_t seed,
                                       std::size_t honest_syncs) const {
  const std::lock_guard lock(recorder->mutex);
  STRATA_ASSERT(point <= recorder->ops.size());
  std::map<std::string, PendingFile> files;
  for (std::size_t i = 0; i < point; ++i) {
    const RecordedOp& op = recorder->ops[i];
    PendingFile& file = files[op.file];
    if (op.op == FileOp::kDelete && op.offset != 0) {
      file = {};
    } else if (op.op != FileOp::kSync) {
      file.waiting.push_back(&op);
    } else if (i < honest_syncs) {
      file.exists = true;
      for (const RecordedOp* one : file.waiting) apply_whole(file.durable, *one);
      file.waiting.clear();
    }
  }
  Random random(seed * 1'000'003 + point);
  DiskImage image;
  for (const auto& [name, file] : files) {
    const bool torn = point > 0 && recorder->ops[point - 1].file == name;
    if (auto content = survive(file, torn, random)) image.emplace(name, std::move(*content));
  }
  return image;
}

void write_image(const DiskImage& image, const std::filesystem::path& folder) {
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  for (const auto& [name, content] : image) {
    std::ofstream out(folder / name, std::ios::binary);
    out.write(content.data(), static_cast<std::streamsize>(content.size()));
    STRATA_ASSERT(out.good());
  }
}

}  // namespace strata::testing

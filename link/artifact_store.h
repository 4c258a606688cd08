// The shared folder of artifacts: <root>/<first 2 hex digits>/<hash>/ with manifest.json and
// content (a folder, or the single file itself). An artifact appears whole or not at all: it is
// built under <root>/tmp, synced, and renamed to its name, which is the hash of its manifest. What
// is there is read-only and is never changed.
//
// Workers put results there, and whoever submits a sweep puts its code there.
//
// Several workers, clients and threads may use one store at once; nothing is locked, because a
// rename decides. The folder is the coordinator's, which leaves a marker in it: where the marker is
// not to be seen the folder is another one (an empty mount point, as a rule), and nothing may be
// concluded from what it lacks.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/result.h"
#include "schema/artifact.h"

namespace strata::link {

// kMove: nothing else writes to the source any more, and it may be gone afterwards. kCopy: it stays
// as it is.
enum class Take { kCopy, kMove };
// Sizes cost one look at each file, hashes a read of every byte.
enum class Verify { kSizes, kHashes };

class ArtifactStore {
 public:
  // kUnavailable: the marker of that coordinator is not there.
  static Result<ArtifactStore> open(const std::filesystem::path& root,
                                    std::string_view coordinator_id);

  // `source` is a folder or a file. kInvalid: a symbolic link, a device or the like in it, or a
  // name that is no UTF-8; kNotFound: no such source. An artifact that is there already stays as it
  // is, unless it is damaged: then it is replaced.
  [[nodiscard]] Result<ArtifactRef> commit(const std::filesystem::path& source, Take take) const;

  // Where consumers read it, whether it is there or not.
  [[nodiscard]] std::filesystem::path content(const ContentHash& hash) const {
    return folder(hash) / "content";
  }
  [[nodiscard]] Result<Manifest> manifest(const ContentHash& hash) const;
  // kNotFound: not there. kDamaged: not what was written. kUnavailable: cannot be told now.
  [[nodiscard]] Status verify(const ContentHash& hash, Verify how) const;
  [[nodiscard]] Status remove(const ContentHash& hash) const;
  // A copy of the artifact (a folder) as `target`, which is not there yet: read-only, every file
  // executable because a manifest knows no modes, every byte compared with its hash. Errors as of
  // verify(); then nothing is left.
  [[nodiscard]] Status lay_out(const ContentHash& hash, const std::filesystem::path& target) const;
  // Deletes what killed processes left under tmp, if nothing has touched it for so long.
  void remove_abandoned(std::chrono::hours age) const;

  [[nodiscard]] const std::filesystem::path& root() const { return root_; }

 private:
  ArtifactStore(std::filesystem::path root, std::filesystem::path marker)
      : root_(std::move(root)), marker_(std::move(marker)) {}
  [[nodiscard]] std::filesystem::path folder(const ContentHash& hash) const;
  Status publish(const std::filesystem::path& built, const ContentHash& hash) const;

  [[nodiscard]] Status reachable() const;

  std::filesystem::path root_;
  std::filesystem::path marker_;
};

// Also what is read-only, as artifacts are. No error when there is no such path.
[[nodiscard]] Status remove_tree(const std::filesystem::path& path);

}  // namespace strata::link

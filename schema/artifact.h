// An artifact is an immutable set of files named by the hash of its manifest: canonical JSON of
// relative paths, sizes and SHA-256 of each file. Who holds the bytes is the business of the
// artifact store; here is only what is said about them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/value.h"
#include "schema/ids.h"

namespace strata {

inline constexpr std::size_t kArtifactFilesMax = 1'000'000;

// The file, below the root of a shared artifact folder, by which a coordinator says that it uses
// the folder. A machine that does not see it looks at another folder: a mount that is missing.
[[nodiscard]] std::string artifact_folder_marker(std::string_view coordinator_id);

struct ArtifactRef {
  ContentHash hash{};
  std::int64_t bytes = 0;
  std::int64_t files = 0;
  bool operator==(const ArtifactRef&) const = default;
};

struct ManifestFile {
  std::int64_t bytes = 0;
  std::string sha256{};
  bool operator==(const ManifestFile&) const = default;
};

// By relative path with forward slashes; a single file is one entry named "".
using Manifest = std::map<std::string, ManifestFile>;

[[nodiscard]] std::string manifest_text(const Manifest& manifest);  // canonical
[[nodiscard]] Result<Manifest> parse_manifest(std::string_view text);
[[nodiscard]] ArtifactRef ref_of(const Manifest& manifest);

}  // namespace strata

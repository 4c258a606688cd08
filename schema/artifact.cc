#include "schema/artifact.h"

#include "base/fields.h"
#include "base/json.h"

namespace strata {
namespace {

// A relative path of plain parts: no leading slash, no empty, "." or ".." part. The empty path is
// the single file.
bool is_inside(std::string_view path) {
  if (path.empty()) return true;
  for (;;) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

}  // namespace

std::string artifact_folder_marker(std::string_view coordinator_id) {
  return fmt::format("coordinators/{}", coordinator_id);
}

std::string manifest_text(const Manifest& manifest) {
  Object files;
  for (const auto& [path, file] : manifest) {
    files.emplace(path, Object{{"bytes", file.bytes}, {"sha256", file.sha256}});
  }
  return to_canonical_json(Object{{"manifest", 1}, {"files", std::move(files)}});
}

Result<Manifest> parse_manifest(std::string_view text) {
  STRATA_TRY(const Value value, parse_json(text));
  Fields fields(value, "artifact manifest");
  const std::int64_t version = fields.integer("manifest");
  fields.require(version == 1, "manifest", "expected version 1");
  const Value& files = fields.required_child("files");
  STRATA_CHECK_OK(fields.finish());
  if (files.if_object() == nullptr)
    return fail(ErrorCode::kInvalid, "artifact manifest.files: expected a map");
  Manifest manifest;
  for (const auto& [path, entry] : *files.if_object()) {
    if (!is_inside(path)) {
      return fail(ErrorCode::kInvalid, "artifact manifest.files: \"{}\" leads out of the artifact",
                  path);
    }
    Fields file(entry, "artifact manifest.files[" + path + "]");
    ManifestFile parsed{.bytes = file.integer("bytes"), .sha256 = file.text("sha256")};
    STRATA_CHECK_OK(file.finish());
    manifest.emplace(path, std::move(parsed));
  }
  return manifest;
}

ArtifactRef ref_of(const Manifest& manifest) {
  ArtifactRef ref{.hash = content_hash_of(manifest_text(manifest)),
                  .files = static_cast<std::int64_t>(manifest.size())};
  for (const auto& [path, file] : manifest) ref.bytes += file.bytes;
  return ref;
}

}  // namespace strata

// The catalogue of exported models (tools/export/catalogue.json): which judges, teachers and
// vocoders there are, and what identifies each. An identity is the SHA-256 of the canonical JSON of
// {exporter_version, settings, sources: [sha256 of each source file, in catalogue order]}, so
// exporting an archive again changes no identity and hence no key.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace strata {

inline constexpr int kCatalogueFormat = 1;

struct CatalogueModel {
  std::string name{};
  std::string role{};      // "asr", "teacher", "speaker", "mos", "vocoder"
  std::string family{};    // equal for two exports that come from one checkpoint
  std::string identity{};  // 64 hex digits
};

struct Catalogue {
  std::vector<CatalogueModel> models{};
  // A null pointer when there is none of this name.
  [[nodiscard]] const CatalogueModel* find(std::string_view name) const;
  [[nodiscard]] std::string names() const;  // "ge2e, whisper-base", for messages
};

// `file_name` is what errors begin with.
[[nodiscard]] Result<Catalogue> parse_catalogue(std::string_view text, std::string_view file_name);

}  // namespace strata

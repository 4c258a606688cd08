#include "schema/catalogue.h"

#include <algorithm>

#include "base/json.h"
#include "base/sha256.h"

namespace strata {
namespace {

// The interface of what a program of ours does itself: nothing is exported, nothing was trained.
constexpr const char* kBuiltIn = "built-in";

bool is_digest(const Value* value) {
  const std::string* text = value == nullptr ? nullptr : value->if_string();
  return text != nullptr && text->size() == 64 &&
         text->find_first_not_of("0123456789abcdef") == std::string::npos;
}

Result<CatalogueModel> parse_model(const Value& entry, std::string_view file_name) {
  CatalogueModel model;
  const auto text = [&](std::string_view key, std::string& to) {
    const Value* value = entry.find(key);
    if (value == nullptr || value->if_string() == nullptr || value->if_string()->empty())
      return false;
    to = *value->if_string();
    return true;
  };
  if (!text("name", model.name))
    return fail(ErrorCode::kInvalid, "{}: a model without a name", file_name);
  const auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kInvalid, "{}: model {}: {}", file_name, model.name, what);
  };
  if (!text("role", model.role)) return bad("role must be a text");
  if (!text("family", model.family)) return bad("family must be a text");
  const Value* exporter = entry.find("exporter_version");
  if (exporter == nullptr || exporter->if_number() == nullptr)
    return bad("exporter_version must be a number");
  const Value* settings = entry.find("settings");
  if (settings == nullptr || settings->if_object() == nullptr) return bad("settings must be a map");
  const Value* sources = entry.find("sources");
  if (sources == nullptr || sources->if_array() == nullptr) return bad("sources must be a list");
  const Value* interface = entry.find("interface");
  if (sources->if_array()->empty() && (interface == nullptr || *interface != Value(kBuiltIn)))
    return bad("only what is built in has no sources");
  Array digests;
  for (const Value& source : *sources->if_array()) {
    const Value* digest = source.find("sha256");
    if (!is_digest(digest)) return bad("every source needs a sha256 of 64 hex digits");
    digests.push_back(*digest);
  }
  model.identity = sha256_hex(to_canonical_json(Object{
      {"exporter_version", *exporter}, {"settings", *settings}, {"sources", std::move(digests)}}));
  return model;
}

}  // namespace

const CatalogueModel* Catalogue::find(std::string_view name) const {
  const auto it = std::ranges::find(models, name, &CatalogueModel::name);
  return it == models.end() ? nullptr : &*it;
}

std::string Catalogue::names() const {
  std::vector<std::string> sorted;
  for (const CatalogueModel& model : models) sorted.push_back(model.name);
  std::ranges::sort(sorted);
  return fmt::format("{}", fmt::join(sorted, ", "));
}

Result<Catalogue> parse_catalogue(std::string_view text, std::string_view file_name) {
  const auto document = parse_json(text);
  if (!document) return tl::unexpected(document.error().while_doing(file_name));
  const Value* format = document->find("catalogue");
  if (format == nullptr || *format != Value(kCatalogueFormat)) {
    return fail(
        ErrorCode::kUnsupported,
        "{}: \"catalogue\": {} expected: this is no catalogue of models, or one of another version",
        file_name, kCatalogueFormat);
  }
  const Value* models = document->find("models");
  if (models == nullptr || models->if_array() == nullptr)
    return fail(ErrorCode::kInvalid, "{}: models must be a list", file_name);
  Catalogue catalogue;
  for (const Value& entry : *models->if_array()) {
    STRATA_TRY(CatalogueModel model, parse_model(entry, file_name));
    if (catalogue.find(model.name) != nullptr)
      return fail(ErrorCode::kInvalid, "{}: two models are called {}", file_name, model.name);
    catalogue.models.push_back(std::move(model));
  }
  return catalogue;
}

}  // namespace strata

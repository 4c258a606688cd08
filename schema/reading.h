// What the readers of sweep and pipeline files share: the files read so far, errors with a place,
// typed values. Internal to this room.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schema/catalogue.h"
#include "schema/log_policy.h"
#include "schema/sweep.h"
#include "schema/yaml.h"

namespace strata {

class Reading {
 public:
  explicit Reading(const FileReader& read) : read_(read) {}

  // The map at the top of the file.
  Result<YamlNode> open(const std::string& path);
  // `name` as written in the file of `where`, joined with that file's folder.
  [[nodiscard]] std::string beside(const YamlPosition& where, const std::string& name) const;
  [[nodiscard]] std::string folder_of(const YamlPosition& where) const;

  // "FILE:LINE:COLUMN: what".
  [[nodiscard]] tl::unexpected<Error> wrong(const YamlPosition& where, std::string_view what) const;
  [[nodiscard]] std::string place(const YamlPosition& where) const;

  // Every key of the map must be one of `keys`.
  [[nodiscard]] Status only_keys(const YamlNode& map, const std::vector<std::string>& keys) const;

  // `what` names the value in messages: "priority must be a whole number, not a text".
  [[nodiscard]] Result<std::string> text(const YamlNode& node, std::string_view what) const;
  [[nodiscard]] Result<bool> flag(const YamlNode& node, std::string_view what) const;
  [[nodiscard]] Result<std::int64_t> integer(const YamlNode& node, std::string_view what,
                                             std::int64_t least, std::int64_t most) const;
  [[nodiscard]] Result<std::vector<std::string>> texts(
      const YamlNode& node, std::string_view what) const;  // no duplicates
  [[nodiscard]] Result<std::vector<std::uint64_t>> seeds(
      const YamlNode& node) const;  // no duplicates
  [[nodiscard]] Status must_be(const YamlNode& node, YamlKind kind, std::string_view what) const;
  [[nodiscard]] Result<Expression> condition(const YamlNode& node, std::string_view what,
                                             const Expression::Known& known) const;
  // A dotted name of a parameter.
  [[nodiscard]] Status parameter_name(const YamlPosition& where, const std::string& name) const;

  // Looked up by `!model NAME`.
  Status use_catalogue(const YamlNode& path);
  // A value of a parameter; models become {name, identity}. `parameter` is where it goes.
  Result<Value> value(const YamlNode& node, const std::string& parameter);

  struct ModelUse {
    std::string parameter{};
    CatalogueModel model{};
    YamlPosition at{};
  };
  // The parameter gets a new value: models that stood there before are not used.
  void forget_models(const std::string& parameter);
  [[nodiscard]] const std::vector<ModelUse>& model_uses() const { return model_uses_; }

 private:
  const FileReader& read_;
  std::vector<std::string> files_{};
  std::optional<Catalogue> catalogue_{};
  std::string catalogue_path_{};
  std::vector<ModelUse> model_uses_{};
};

// ", did you mean train.updates?" when one of `names` is close to `name`, else nothing.
[[nodiscard]] std::string suggestion(const std::string& name,
                                     const std::vector<std::string>& names);

// Whether one of two dotted names is the other or lies below it.
[[nodiscard]] bool related(std::string_view a, std::string_view b);
[[nodiscard]] bool is_at_or_below(std::string_view name, std::string_view prefix);

// The stages of a pipeline with those of a sweep laid over them, field by field; checked against
// the parameters known.
struct StageNodes {
  std::string name{};
  YamlPosition at{};
  std::vector<YamlEntry> fields{};
};
[[nodiscard]] Status lay_stages(const Reading& reading, const YamlNode& stages,
                                std::vector<StageNodes>& over);
[[nodiscard]] Result<std::vector<StageDefinition>> read_stages(const Reading& reading,
                                                               const std::vector<StageNodes>& nodes,
                                                               const Expression::Known& known);
// Paths, folders and patterns of `code`, joined with the folder of the file that names them.
[[nodiscard]] Result<std::vector<std::string>> read_code(const Reading& reading,
                                                         const YamlNode& node);
[[nodiscard]] Result<ResourceChange> read_resource_change(const Reading& reading,
                                                          const YamlNode& node);
[[nodiscard]] Result<Resources> read_resources(const Reading& reading, const YamlNode& node,
                                               const Resources& over);

// A list of rules.
[[nodiscard]] Result<std::vector<WrittenRule>> read_policy(const Reading& reading,
                                                           const YamlNode& node);

}  // namespace strata

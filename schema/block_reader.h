// Reads what varies in a sweep file: `axes`, `zip`, `ablation` and `cases` at its top and in each
// entry of `blocks`. In two steps, because conditions may name any parameter that some block sets:
// first the names and values, then what needs all of them. Internal to this room.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "schema/ablation.h"
#include "schema/reading.h"

namespace strata {

// A parameter that was set somewhere, and where.
using Places = std::map<std::string, YamlPosition>;

class BlockReader {
 public:
  // An error when the sweep may not set the parameter.
  using MayVary = std::function<Status(const YamlPosition& at, const std::string& parameter)>;
  BlockReader(Reading& reading, const Value& base, MayVary may_vary)
      : reading_(reading), base_(base), may_vary_(std::move(may_vary)) {}

  // The first step. `baseline` is what the sweep's key of that name says.
  Status read(const YamlNode& sweep, const Settings& baseline);
  // Where each parameter that varies is first set.
  [[nodiscard]] const Places& swept() const { return swept_; }
  // When `ablation` makes a baseline cell: what components set and the sweep's baseline does not
  // name, at its value in `base`.
  [[nodiscard]] const std::map<std::string, Value>& own_baseline() const { return own_baseline_; }

  // The second step; names that conditions use are added to `used`. Seeds are an error when no
  // stage takes them.
  Result<std::vector<Block>> finish(const std::vector<StageDefinition>& stages,
                                    const Expression::Known& known, std::set<std::string>& used);

 private:
  struct Draft {
    Block block{};
    YamlNode node{};
    Places swept{};
    std::set<std::string> model_axes{};      // all their values are models
    std::map<std::string, YamlNode> when{};  // conditions of axes, by parameter
    std::vector<YamlNode> case_nodes{};      // of the last cases of the block
  };

  Status what_varies(Draft& draft, const Settings& baseline);
  Status block_entry(const YamlNode& node, const Settings& baseline);
  Status axes(Draft& draft, const YamlNode& map, bool conditional, std::vector<Axis>& to);
  // Whether the axis is one.
  Result<bool> range(Draft& draft, const YamlEntry& entry, std::vector<Axis>& to);
  Status zip(Draft& draft, const YamlNode& group);
  Status ablation(Draft& draft, const YamlNode& node, const Settings& baseline);
  Status component(Draft& draft, const YamlEntry& entry, Places& set_by_components,
                   std::vector<Component>& to);
  Status one_case(Draft& draft, const YamlNode& node);
  Result<Settings> settings(Draft& draft, const YamlNode& map, std::string_view what);
  Status varies_alone(Draft& draft, const YamlEntry& entry, const YamlNode& values);
  Status varies(Draft& draft, const YamlEntry& entry);

  Status conditions(Draft& draft, const Expression::Known& known, std::set<std::string>& used);
  Status case_resources(Draft& draft, const std::vector<StageDefinition>& stages);

  Reading& reading_;
  const Value& base_;
  MayVary may_vary_;
  std::vector<Draft> drafts_{};
  Places swept_{};
  std::map<std::string, Value> own_baseline_{};
};

// `constraints` of a sweep or a block.
[[nodiscard]] Result<std::vector<Constraint>> read_constraints(const Reading& reading,
                                                               const YamlNode& node,
                                                               const Expression::Known& known,
                                                               std::set<std::string>& used);

}  // namespace strata

#include "schema/block_reader.h"

#include <algorithm>

#include "schema/judging_reader.h"
#include "schema/search_reader.h"

namespace strata {
namespace {

const std::vector<std::string> kBlockKeys{"name",  "set",         "axes",  "zip",   "ablation",
                                          "cases", "constraints", "seeds", "search"};

// A search that only judges makes no cells, so it makes no block of the top of the file.
bool draws_cells(const YamlNode* search) {
  if (search == nullptr) return false;
  const YamlNode* method = search->find("method");
  const std::string* word = method != nullptr ? method->scalar.if_string() : nullptr;
  return word == nullptr || !is_judging_method(*word) || search->find("cells") != nullptr;
}

// `over` stands where both set the same parameter. Maps are merged key by key, as everywhere.
Settings laid_over(const Settings& below, const Settings& over) {
  Settings out;
  for (const auto& entry : below) {
    const auto replaces = [&](const auto& other) {
      return other.second.if_object() == nullptr && is_at_or_below(entry.first, other.first);
    };
    if (std::ranges::none_of(over, replaces)) out.push_back(entry);
  }
  out.insert(out.end(), over.begin(), over.end());
  return out;
}

bool is_of_model(std::string_view name) {
  return name.ends_with(".name") || name.ends_with(".identity");
}

}  // namespace

Status BlockReader::read(const YamlNode& sweep, const Settings& baseline) {
  const auto has = [&](const char* key) { return sweep.find(key) != nullptr; };
  const bool top = has("axes") || has("zip") || has("ablation") || has("cases") ||
                   draws_cells(sweep.find("search"));
  if (top || !has("blocks")) {
    drafts_.push_back({.node = sweep});
    STRATA_CHECK_OK(what_varies(drafts_.back(), baseline));
  }
  const YamlNode* blocks = sweep.find("blocks");
  if (blocks == nullptr) return {};
  STRATA_CHECK_OK(reading_.must_be(*blocks, YamlKind::kList, "blocks"));
  if (blocks->items.empty()) return reading_.wrong(blocks->at, "blocks has no blocks");
  for (const YamlNode& node : blocks->items) STRATA_CHECK_OK(block_entry(node, baseline));
  return {};
}

Status BlockReader::block_entry(const YamlNode& node, const Settings& baseline) {
  STRATA_CHECK_OK(reading_.must_be(node, YamlKind::kMap, "a block"));
  STRATA_CHECK_OK(reading_.only_keys(node, kBlockKeys));
  Draft draft{.node = node};
  const YamlNode* name = node.find("name");
  if (name == nullptr) return reading_.wrong(node.at, "a block needs the key name");
  STRATA_TRY(draft.block.name, reading_.text(*name, "name"));
  if (draft.block.name.empty() || draft.block.name.size() > 200)
    return reading_.wrong(name->at, "name must have 1 to 200 characters");
  for (const Draft& other : drafts_) {
    if (other.block.name == draft.block.name)
      return reading_.wrong(name->at, fmt::format("there is a block {} already", other.block.name));
  }
  if (const YamlNode* set = node.find("set")) {
    STRATA_TRY(draft.block.set, settings(draft, *set, "set"));
  }
  drafts_.push_back(std::move(draft));
  return what_varies(drafts_.back(), baseline);
}

Status BlockReader::what_varies(Draft& draft, const Settings& baseline) {
  if (const YamlNode* node = draft.node.find("search")) {
    STRATA_TRY(const SearchReading search, read_search(reading_, *node));
    draft.block.random = search.random;
    if (search.judges && !draft.block.name.empty()) {
      return reading_.wrong(node->at,
                            "a search by asha or median is of the whole sweep: write it at the top "
                            "of the file");
    }
    const bool product = draft.node.find("axes") != nullptr || draft.node.find("zip") != nullptr;
    if (search.random && !product)
      return reading_.wrong(node->at, "a random search needs axes or zip to draw from");
  }
  if (const YamlNode* node = draft.node.find("axes")) {
    STRATA_CHECK_OK(reading_.must_be(*node, YamlKind::kMap, "axes"));
    STRATA_CHECK_OK(axes(draft, *node, true, draft.block.axes));
  }
  if (const YamlNode* node = draft.node.find("zip")) {
    if (node->kind == YamlKind::kMap) {
      STRATA_CHECK_OK(zip(draft, *node));
    } else {
      STRATA_CHECK_OK(reading_.must_be(*node, YamlKind::kList, "zip"));
      for (const YamlNode& group : node->items) STRATA_CHECK_OK(zip(draft, group));
    }
  }
  if (const YamlNode* node = draft.node.find("ablation"))
    STRATA_CHECK_OK(ablation(draft, *node, baseline));
  if (const YamlNode* node = draft.node.find("cases")) {
    STRATA_CHECK_OK(reading_.must_be(*node, YamlKind::kList, "cases"));
    for (const YamlNode& one : node->items) STRATA_CHECK_OK(one_case(draft, one));
    draft.case_nodes = node->items;
  }
  return {};
}

// An axis is a list of values, or a map of `values`, or a range, and `when`.
Status BlockReader::axes(Draft& draft, const YamlNode& map, bool conditional,
                         std::vector<Axis>& to) {
  for (const YamlEntry& entry : map.entries) {
    const YamlNode* values = &entry.value;
    if (conditional && entry.value.kind == YamlKind::kMap) {
      STRATA_TRY(const bool is_range, range(draft, entry, to));
      if (const YamlNode* when = entry.value.find("when")) draft.when.emplace(entry.key, *when);
      if (is_range) continue;
      values = entry.value.find("values");
      if (values == nullptr)
        return reading_.wrong(entry.at, fmt::format("{} needs the key values", entry.key));
    }
    STRATA_CHECK_OK(
        reading_.must_be(*values, YamlKind::kList, fmt::format("the values of {}", entry.key)));
    STRATA_CHECK_OK(varies_alone(draft, entry, *values));
    STRATA_CHECK_OK(varies(draft, entry));
    if (values->items.empty())
      return reading_.wrong(values->at, fmt::format("{} has no values", entry.key));
    reading_.forget_models(entry.key);
    Axis axis{.parameter = entry.key};
    for (const YamlNode& item : values->items) {
      STRATA_TRY(Value value, reading_.value(item, entry.key));
      axis.values.push_back(std::move(value));
    }
    to.push_back(std::move(axis));
  }
  return {};
}

Result<bool> BlockReader::range(Draft& draft, const YamlEntry& entry, std::vector<Axis>& to) {
  std::vector<std::string> keys{"values", "when"};
  keys.insert(keys.end(), range_words().begin(), range_words().end());
  STRATA_CHECK_OK(reading_.only_keys(entry.value, keys));
  STRATA_TRY(std::optional<AxisRange> range, read_range(reading_, entry.value, entry.key));
  if (!range) return false;
  if (entry.value.find("values") != nullptr)
    return reading_.wrong(entry.at, fmt::format("{} has values and a range", entry.key));
  if (!draft.block.random) {
    return reading_.wrong(
        entry.at,
        fmt::format("{} is a range: it needs search: {{method: random, cells: N}}", entry.key));
  }
  const YamlNode no_models{
      .kind = YamlKind::kList, .at = entry.at, .items = {entry.value}, .entries = {}};
  STRATA_CHECK_OK(varies_alone(draft, entry, no_models));
  STRATA_CHECK_OK(varies(draft, entry));
  reading_.forget_models(entry.key);
  to.push_back({.parameter = entry.key, .range = std::move(range)});
  return true;
}

Status BlockReader::zip(Draft& draft, const YamlNode& group) {
  STRATA_CHECK_OK(reading_.must_be(group, YamlKind::kMap, "a zip group"));
  if (group.entries.empty()) return reading_.wrong(group.at, "a zip group must name parameters");
  std::vector<Axis> of_group;
  STRATA_CHECK_OK(axes(draft, group, false, of_group));
  for (std::size_t i = 1; i < of_group.size(); ++i) {
    if (of_group[i].values.size() == of_group[0].values.size()) continue;
    return reading_.wrong(
        group.entries[i].value.at,
        fmt::format("{} has {} values and {} has {}: in a zip group all have the same number",
                    of_group[0].parameter, of_group[0].values.size(), of_group[i].parameter,
                    of_group[i].values.size()));
  }
  draft.block.zips.push_back(std::move(of_group));
  return {};
}

Status BlockReader::ablation(Draft& draft, const YamlNode& node, const Settings& baseline) {
  STRATA_CHECK_OK(reading_.must_be(node, YamlKind::kMap, "ablation"));
  STRATA_CHECK_OK(reading_.only_keys(node, {"components", "cells"}));
  const YamlNode* named = node.find("components");
  const YamlNode* cells = node.find("cells");
  if (named == nullptr || cells == nullptr)
    return reading_.wrong(node.at, "ablation needs the keys components and cells");
  STRATA_CHECK_OK(reading_.must_be(*named, YamlKind::kMap, "components"));
  if (named->entries.empty() || named->entries.size() > kComponentsMax)
    return reading_.wrong(named->at, fmt::format("expected 1 to {} components", kComponentsMax));
  std::vector<Component> components;
  Places set_by_components;
  for (const YamlEntry& entry : named->entries)
    STRATA_CHECK_OK(component(draft, entry, set_by_components, components));
  STRATA_TRY(const std::vector<std::string> words, reading_.texts(*cells, "cells"));
  if (words.empty())
    return reading_.wrong(cells->at, "cells names no shape: expected " + ablation_words());
  std::vector<AblationShape> shapes;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto shape = ablation_shape(words[i]);
    if (!shape) {
      return reading_.wrong(cells->items[i].at,
                            fmt::format("\"{}\" is no shape of an ablation: expected {}", words[i],
                                        ablation_words()));
    }
    shapes.push_back(*shape);
  }
  draft.block.cases = cases_of(laid_over(baseline, draft.block.set), components, shapes);
  if (std::ranges::find(shapes, AblationShape::kBaseline) == shapes.end()) return {};
  for (const auto& [name, at] : set_by_components) {
    const auto names_it = [&, &parameter = name](const auto& entry) {
      return related(entry.first, parameter);
    };
    if (std::ranges::any_of(baseline, names_it)) continue;
    const Value* without = base_.find(name);
    if (without == nullptr) {
      return reading_.wrong(at, fmt::format("what is {} without the component? Set it in base, or "
                                            "write the key baseline",
                                            name));
    }
    own_baseline_.insert_or_assign(name, *without);
  }
  return {};
}

Status BlockReader::component(Draft& draft, const YamlEntry& entry, Places& set_by_components,
                              std::vector<Component>& to) {
  STRATA_TRY(Settings set, settings(draft, entry.value, fmt::format("component {}", entry.key)));
  if (set.empty())
    return reading_.wrong(entry.at, fmt::format("component {} sets nothing", entry.key));
  Places own;
  for (const YamlEntry& one : entry.value.entries) {
    for (const auto& [other, at] : set_by_components) {
      if (!related(other, one.key)) continue;
      return reading_.wrong(one.at,
                            fmt::format("{} is set by another component, at {}:{}: components are "
                                        "switched on together",
                                        other, at.line, at.column));
    }
    own.emplace(one.key, one.at);
  }
  set_by_components.merge(own);
  to.push_back({.name = entry.key, .set = std::move(set)});
  return {};
}

Status BlockReader::one_case(Draft& draft, const YamlNode& node) {
  STRATA_CHECK_OK(reading_.must_be(node, YamlKind::kMap, "a case"));
  STRATA_CHECK_OK(reading_.only_keys(node, {"set", "label", "seeds", "resources"}));
  Case one;
  const YamlNode* set = node.find("set");
  if (set == nullptr) return reading_.wrong(node.at, "a case needs the key set");
  STRATA_TRY(one.set, settings(draft, *set, "set"));
  if (const YamlNode* label = node.find("label")) {
    STRATA_TRY(one.label, reading_.text(*label, "label"));
    if (one.label.empty() || one.label.size() > 200)
      return reading_.wrong(label->at, "label must have 1 to 200 characters");
  }
  if (const YamlNode* seeds = node.find("seeds")) {
    STRATA_TRY(one.seeds, reading_.seeds(*seeds));
  }
  draft.block.cases.push_back(std::move(one));
  return {};
}

Result<Settings> BlockReader::settings(Draft& draft, const YamlNode& map, std::string_view what) {
  STRATA_CHECK_OK(reading_.must_be(map, YamlKind::kMap, what));
  Settings out;
  for (const YamlEntry& entry : map.entries) {
    STRATA_CHECK_OK(varies(draft, entry));
    for (const auto& [other, value] : out) {
      if (related(other, entry.key))
        return reading_.wrong(entry.at,
                              fmt::format("{} and {} set the same parameter", other, entry.key));
    }
    STRATA_TRY(Value value, reading_.value(entry.value, entry.key));
    out.emplace_back(entry.key, std::move(value));
  }
  return out;
}

// Two axes of a block, or its `set` and an axis, may not set the same thing.
Status BlockReader::varies_alone(Draft& draft, const YamlEntry& entry, const YamlNode& values) {
  const bool models = std::ranges::all_of(
      values.items, [](const YamlNode& item) { return item.kind == YamlKind::kModel; });
  const auto clash = std::ranges::find_if(draft.swept, [&](const auto& one) {
    // Models vary in name and identity only, so what lies beside these may vary as well.
    if (models && one.first != entry.key && is_at_or_below(one.first, entry.key))
      return is_of_model(one.first);
    if (draft.model_axes.contains(one.first) && one.first != entry.key)
      return is_of_model(entry.key);
    return related(one.first, entry.key);
  });
  if (models) draft.model_axes.insert(entry.key);
  if (clash == draft.swept.end()) return {};
  return reading_.wrong(entry.at,
                        fmt::format("{} varies already: {} at {}:{}", entry.key, clash->first,
                                    clash->second.line, clash->second.column));
}

Status BlockReader::varies(Draft& draft, const YamlEntry& entry) {
  STRATA_CHECK_OK(reading_.parameter_name(entry.at, entry.key));
  STRATA_CHECK_OK(may_vary_(entry.at, entry.key));
  for (std::size_t dot = entry.key.rfind('.'); dot != std::string::npos;
       dot = dot == 0 ? std::string::npos : entry.key.rfind('.', dot - 1)) {
    const Value* above = base_.find(std::string_view(entry.key).substr(0, dot));
    if (above == nullptr || above->is_null() || above->if_object() != nullptr) continue;
    return reading_.wrong(entry.at, fmt::format("{} cannot be set: {} is a {}", entry.key,
                                                entry.key.substr(0, dot), above->kind()));
  }
  draft.swept.emplace(entry.key, entry.at);
  swept_.emplace(entry.key, entry.at);
  return {};
}

// --- the second step ---

Result<std::vector<Block>> BlockReader::finish(const std::vector<StageDefinition>& stages,
                                               const Expression::Known& known,
                                               std::set<std::string>& used) {
  const bool seeded = std::ranges::any_of(stages, &StageDefinition::seeded);
  std::vector<Block> blocks;
  for (Draft& draft : drafts_) {
    STRATA_CHECK_OK(conditions(draft, known, used));
    STRATA_CHECK_OK(case_resources(draft, stages));
    if (!draft.block.name.empty()) {  // those at the top of the file are the sweep's
      if (const YamlNode* node = draft.node.find("constraints")) {
        STRATA_TRY(draft.block.constraints, read_constraints(reading_, *node, known, used));
      }
      if (const YamlNode* node = draft.node.find("seeds")) {
        if (!seeded)
          return reading_.wrong(node->at, "no stage is seeded: seeds would change nothing");
        STRATA_TRY(draft.block.seeds, reading_.seeds(*node));
      }
    }
    blocks.push_back(std::move(draft.block));
  }
  return blocks;
}

Status BlockReader::conditions(Draft& draft, const Expression::Known& known,
                               std::set<std::string>& used) {
  for (auto axis = draft.block.axes.begin(); axis != draft.block.axes.end(); ++axis) {
    const auto node = draft.when.find(axis->parameter);
    if (node == draft.when.end()) continue;
    const std::string what = axis->parameter + ".when";
    STRATA_TRY(axis->when, reading_.condition(node->second, what, known));
    std::set<std::string> names = axis->when->names();
    for (auto later = axis; later != draft.block.axes.end(); ++later) {
      for (const std::string& name : names) {
        if (!related(name, later->parameter)) continue;
        return reading_.wrong(
            node->second.at,
            fmt::format("{}: {} is not set yet: write its axis before this one", what, name));
      }
    }
    used.merge(names);
  }
  return {};
}

Status BlockReader::case_resources(Draft& draft, const std::vector<StageDefinition>& stages) {
  const std::size_t first = draft.block.cases.size() - draft.case_nodes.size();
  for (std::size_t i = 0; i < draft.case_nodes.size(); ++i) {
    const YamlNode* node = draft.case_nodes[i].find("resources");
    if (node == nullptr) continue;
    STRATA_CHECK_OK(reading_.must_be(*node, YamlKind::kMap, "resources"));
    for (const YamlEntry& entry : node->entries) {
      const auto stage = std::ranges::find(stages, entry.key, &StageDefinition::name);
      if (stage == stages.end())
        return reading_.wrong(entry.at, fmt::format("there is no stage {}", entry.key));
      STRATA_TRY(const Resources resources,
                 read_resources(reading_, entry.value, stage->resources));
      draft.block.cases[first + i].resources.emplace(entry.key, resources);
    }
  }
  return {};
}

Result<std::vector<Constraint>> read_constraints(const Reading& reading, const YamlNode& node,
                                                 const Expression::Known& known,
                                                 std::set<std::string>& used) {
  STRATA_CHECK_OK(reading.must_be(node, YamlKind::kList, "constraints"));
  std::vector<Constraint> out;
  for (const YamlNode& item : node.items) {
    STRATA_TRY(Expression holds, reading.condition(item, "a constraint", known));
    used.merge(holds.names());
    const std::string* text = item.scalar.if_string();
    out.push_back({text == nullptr ? holds.text() : *text, holds});
  }
  return out;
}

}  // namespace strata

#include "schema/reading.h"

#include <algorithm>
#include <limits>
#include <set>

namespace strata {
namespace {

bool is_name_part(std::string_view part, bool first) {
  if (part.empty() || part.front() == '-') return false;
  if (first && part.front() >= '0' && part.front() <= '9') return false;
  return part.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
             std::string_view::npos &&
         part.back() != '-';
}

// "a/b/../c" -> "a/c"; leading ".." stay. Text only: nothing is looked up.
std::string tidy_path(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t at = 0;
  while (at <= path.size()) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string part = path.substr(at, slash - at);
    if (part == ".." && !parts.empty() && parts.back() != "..") {
      parts.pop_back();
    } else if (!part.empty() && part != ".") {
      parts.push_back(part);
    }
    at = slash + 1;
  }
  return fmt::format("{}{}", path.starts_with('/') ? "/" : "", fmt::join(parts, "/"));
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j - 1] + 1, above + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

}  // namespace

std::string suggestion(const std::string& name, const std::vector<std::string>& names) {
  constexpr std::size_t kNameBytesMax = 100;  // the distance costs their product
  std::size_t best = 3;                       // more than two typing errors is another name
  std::string closest;
  for (const std::string& other : names) {
    if (name.size() > kNameBytesMax || other.size() > kNameBytesMax) continue;
    const std::size_t distance = edit_distance(name, other);
    if (distance < best && distance < other.size()) {
      best = distance;
      closest = other;
    }
  }
  return closest.empty() ? "" : fmt::format(", did you mean {}?", closest);
}

bool is_at_or_below(std::string_view name, std::string_view prefix) {
  return name.starts_with(prefix) && (name.size() == prefix.size() || name[prefix.size()] == '.');
}

bool related(std::string_view a, std::string_view b) {
  return is_at_or_below(a, b) || is_at_or_below(b, a);
}

Result<YamlNode> Reading::open(const std::string& path) {
  STRATA_TRY(const std::string text, read_(path));
  files_.push_back(path);
  STRATA_TRY(YamlNode node, parse_yaml(text, path, static_cast<int>(files_.size()) - 1));
  if (node.is_null() && node.at.line == 0)
    return fail(ErrorCode::kInvalid, "{}:1:1: the file is empty", path);
  if (node.kind != YamlKind::kMap)
    return wrong(node.at, fmt::format("the file must be a map, not a {}", node.kind_name()));
  return node;
}

std::string Reading::folder_of(const YamlPosition& where) const {
  const std::string& file = files_.at(static_cast<std::size_t>(where.file));
  const std::size_t slash = file.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : file.substr(0, slash);
}

std::string Reading::beside(const YamlPosition& where, const std::string& name) const {
  if (name.starts_with('/')) return tidy_path(name);
  return tidy_path(folder_of(where) + "/" + name);
}

std::string Reading::place(const YamlPosition& where) const {
  return fmt::format("{}:{}:{}", files_.at(static_cast<std::size_t>(where.file)), where.line,
                     where.column);
}

tl::unexpected<Error> Reading::wrong(const YamlPosition& where, std::string_view what) const {
  return fail(ErrorCode::kInvalid, "{}: {}", place(where), what);
}

Status Reading::only_keys(const YamlNode& map, const std::vector<std::string>& keys) const {
  for (const YamlEntry& entry : map.entries) {
    if (std::ranges::find(keys, entry.key) != keys.end()) continue;
    const std::string close = suggestion(entry.key, keys);
    return wrong(entry.at, fmt::format("unknown key {}{} expected one of {}", entry.key,
                                       close.empty() ? ":" : close, fmt::join(keys, ", ")));
  }
  return {};
}

Result<std::string> Reading::text(const YamlNode& node, std::string_view what) const {
  const std::string* text = node.kind == YamlKind::kScalar ? node.scalar.if_string() : nullptr;
  if (text == nullptr)
    return wrong(node.at, fmt::format("{} must be a text, not a {}", what, node.kind_name()));
  return *text;
}

Result<bool> Reading::flag(const YamlNode& node, std::string_view what) const {
  const bool* flag = node.kind == YamlKind::kScalar ? node.scalar.if_bool() : nullptr;
  if (flag == nullptr)
    return wrong(node.at,
                 fmt::format("{} must be true or false, not a {}", what, node.kind_name()));
  return *flag;
}

Result<std::int64_t> Reading::integer(const YamlNode& node, std::string_view what,
                                      std::int64_t least, std::int64_t most) const {
  const Number* number = node.kind == YamlKind::kScalar ? node.scalar.if_number() : nullptr;
  if (number == nullptr)
    return wrong(node.at,
                 fmt::format("{} must be a whole number, not a {}", what, node.kind_name()));
  const auto integer = number->to_integer();
  if (!integer || *integer < least || *integer > most) {
    return wrong(node.at, fmt::format("{} must be a whole number from {} to {}, not {}", what,
                                      least, most, number->text()));
  }
  return *integer;
}

Status Reading::must_be(const YamlNode& node, YamlKind kind, std::string_view what) const {
  if (node.kind == kind) return {};
  return wrong(node.at, fmt::format("{} must be a {}, not a {}", what,
                                    kind == YamlKind::kMap ? "map" : "list", node.kind_name()));
}

Result<std::vector<std::string>> Reading::texts(const YamlNode& node, std::string_view what) const {
  STRATA_CHECK_OK(must_be(node, YamlKind::kList, what));
  std::vector<std::string> texts;
  for (const YamlNode& item : node.items) {
    STRATA_TRY(std::string one, text(item, fmt::format("an entry of {}", what)));
    if (std::ranges::find(texts, one) != texts.end())
      return wrong(item.at, fmt::format("{} names {} twice", what, one));
    texts.push_back(std::move(one));
  }
  return texts;
}

Result<std::vector<std::uint64_t>> Reading::seeds(const YamlNode& node) const {
  STRATA_CHECK_OK(must_be(node, YamlKind::kList, "seeds"));
  if (node.items.empty()) return wrong(node.at, "seeds must not be empty");
  std::vector<std::uint64_t> seeds;
  std::set<std::uint64_t> seen;
  for (const YamlNode& item : node.items) {
    STRATA_TRY(const std::int64_t seed,
               integer(item, "a seed", 0, std::numeric_limits<std::int64_t>::max()));
    seeds.push_back(static_cast<std::uint64_t>(seed));
    if (!seen.insert(seeds.back()).second)
      return wrong(item.at, fmt::format("the seed {} stands here twice", seed));
  }
  return seeds;
}

Result<Expression> Reading::condition(const YamlNode& node, std::string_view what,
                                      const Expression::Known& known) const {
  // `when: true` and `flops: 3` are expressions, too.
  std::string source;
  if (node.kind == YamlKind::kScalar && node.scalar.if_number() != nullptr)
    source = node.scalar.if_number()->text();
  else if (node.kind == YamlKind::kScalar && node.scalar.if_bool() != nullptr)
    source = *node.scalar.if_bool() ? "true" : "false";
  else {
    STRATA_TRY(source, text(node, what));
  }
  auto expression = Expression::parse(source, known);
  if (!expression)
    return wrong(node.at,
                 fmt::format("{}: {} (in \"{}\")", what, expression.error().message, source));
  return expression;
}

Status Reading::parameter_name(const YamlPosition& where, const std::string& name) const {
  std::size_t at = 0;
  for (;;) {
    const std::size_t dot = name.find('.', at);
    if (!is_name_part(std::string_view(name).substr(at, dot - at), at == 0)) {
      return wrong(
          where,
          fmt::format(
              "\"{}\" is no name of a parameter: expected letters, digits, _ and - between dots",
              name));
    }
    if (dot == std::string::npos) return {};
    at = dot + 1;
  }
}

Status Reading::use_catalogue(const YamlNode& path) {
  STRATA_TRY(const std::string name, text(path, "models"));
  catalogue_path_ = beside(path.at, name);
  const auto content = read_(catalogue_path_);
  if (!content)
    return wrong(path.at,
                 fmt::format("reading the catalogue of models: {}", content.error().message));
  STRATA_TRY(catalogue_, parse_catalogue(*content, catalogue_path_));
  return {};
}

void Reading::forget_models(const std::string& parameter) {
  std::erase_if(model_uses_,
                [&](const ModelUse& use) { return is_at_or_below(use.parameter, parameter); });
}

Result<Value> Reading::value(const YamlNode& node, const std::string& parameter) {
  switch (node.kind) {
    case YamlKind::kScalar: return node.scalar;
    case YamlKind::kModel: {
      const std::string& name = *node.scalar.if_string();
      if (!catalogue_)
        return wrong(node.at,
                     fmt::format("!model {} needs a catalogue: name it with models: PATH", name));
      const CatalogueModel* model = catalogue_->find(name);
      if (model == nullptr) {
        return wrong(node.at, fmt::format("{} has no model \"{}\": expected one of {}",
                                          catalogue_path_, name, catalogue_->names()));
      }
      model_uses_.push_back({parameter, *model, node.at});
      return Value(Object{{"name", name}, {"identity", model->identity}});
    }
    case YamlKind::kList: {
      Array array;
      for (const YamlNode& item : node.items) {
        STRATA_TRY(Value one, value(item, parameter));
        array.push_back(std::move(one));
      }
      return Value(std::move(array));
    }
    case YamlKind::kMap: break;
  }
  Object object;
  for (const YamlEntry& entry : node.entries) {
    STRATA_CHECK_OK(parameter_name(entry.at, entry.key));
    if (entry.key.find('.') != std::string::npos)
      return wrong(entry.at,
                   fmt::format("a dotted name ({}) cannot stand inside a value", entry.key));
    STRATA_TRY(Value one, value(entry.value, parameter + "." + entry.key));
    object.emplace(entry.key, std::move(one));
  }
  return Value(std::move(object));
}

}  // namespace strata

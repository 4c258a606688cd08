#include "schema/search_reader.h"

#include "schema/judging_reader.h"

#include <limits>

namespace strata {
namespace {

Result<Number> read_end(const Reading& reading, const YamlNode& node, std::string_view what) {
  const Number* number = node.kind == YamlKind::kScalar ? node.scalar.if_number() : nullptr;
  if (number == nullptr)
    return reading.wrong(
        node.at, fmt::format("an end of {} must be a number, not a {}", what, node.kind_name()));
  return *number;
}

}  // namespace

const std::vector<std::string>& range_words() {
  static const std::vector<std::string> kWords{"uniform", "log_uniform", "int"};
  return kWords;
}

Result<SearchReading> read_search(const Reading& reading, const YamlNode& node) {
  STRATA_CHECK_OK(reading.must_be(node, YamlKind::kMap, "search"));
  const YamlNode* method = node.find("method");
  if (method == nullptr) return reading.wrong(node.at, "search needs the key method");
  STRATA_TRY(const std::string word, reading.text(*method, "method"));
  SearchReading out;
  if (word == "grid") {
    STRATA_CHECK_OK(reading.only_keys(node, {"method"}));
    return out;
  }
  out.judges = is_judging_method(word);
  if (word != "random" && !out.judges) {
    return reading.wrong(
        method->at,
        fmt::format("there is no method \"{}\": expected one of grid, random, asha, median", word));
  }
  if (!out.judges) STRATA_CHECK_OK(reading.only_keys(node, {"method", "cells", "seed"}));
  const YamlNode* cells = node.find("cells");
  if (cells == nullptr && out.judges) {
    if (const YamlNode* seed = node.find("seed"))
      return reading.wrong(seed->at, "seed is of cells that are drawn: it needs the key cells");
    return out;
  }
  if (cells == nullptr) return reading.wrong(node.at, "a random search needs the key cells");
  STRATA_TRY(const std::int64_t count,
             reading.integer(*cells, "cells", 1, static_cast<std::int64_t>(kRunsMax)));
  out.random = RandomCells{.cells = static_cast<std::size_t>(count), .seed = 1};
  if (const YamlNode* seed = node.find("seed")) {
    STRATA_TRY(const std::int64_t number,
               reading.integer(*seed, "seed", 0, std::numeric_limits<std::int64_t>::max()));
    out.random->seed = static_cast<std::uint64_t>(number);
  }
  return out;
}

Result<std::optional<AxisRange>> read_range(const Reading& reading, const YamlNode& axis,
                                            std::string_view parameter) {
  using Kind = AxisRange::Kind;
  std::optional<AxisRange> range;
  for (const YamlEntry& entry : axis.entries) {
    Kind kind = Kind::kUniform;
    if (entry.key == "log_uniform")
      kind = Kind::kLogUniform;
    else if (entry.key == "int")
      kind = Kind::kInteger;
    else if (entry.key != "uniform")
      continue;
    const std::string what = fmt::format("{}.{}", parameter, entry.key);
    if (range) return reading.wrong(entry.at, fmt::format("{} has two ranges", parameter));
    STRATA_CHECK_OK(reading.must_be(entry.value, YamlKind::kList, what));
    if (entry.value.items.size() != 2)
      return reading.wrong(entry.value.at, fmt::format("{} must be [low, high]", what));
    range = AxisRange{.kind = kind};
    STRATA_TRY(range->low, read_end(reading, entry.value.items[0], what));
    STRATA_TRY(range->high, read_end(reading, entry.value.items[1], what));
    const bool whole = range->low.to_integer() && range->high.to_integer();
    if (kind == Kind::kInteger && !whole)
      return reading.wrong(entry.value.at, fmt::format("the ends of {} must be whole", what));
    if (!(range->low.to_double() < range->high.to_double()))
      return reading.wrong(entry.value.at,
                           fmt::format("the first end of {} must be below the second", what));
    if (kind == Kind::kLogUniform && range->low.to_double() <= 0)
      return reading.wrong(entry.value.at, fmt::format("the ends of {} must be above 0", what));
  }
  return range;
}

}  // namespace strata

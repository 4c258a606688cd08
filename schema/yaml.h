// YAML text as a tree in which every value and key knows its line and column. The only file that
// includes yaml-cpp is yaml.cc. What a plain (unquoted) scalar means is decided here and nowhere
// else, by YAML 1.2's core rules made stricter:
//
//   null Null NULL ~ (nothing)  null                     True FALSE ...             refused: write
//   it in lower case or quote it true  false            truth                         no yes on off
//   y            texts, as written 12  -0.5  +3  .5  1e-4   exact decimals; 012 is 12   0x1F 0o17
//   1_000 .inf .nan   refused: write a decimal number or quote it
//
// Everything else, and everything quoted, is a text. Duplicate keys are errors; aliases (*name) are
// copies; merge keys
// (<<) are refused; of tags only `!model NAME` exists; one document a file. Any bytes give a tree
// or an error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace strata {

inline constexpr std::size_t kYamlBytesMax = 4U << 20U;
inline constexpr std::size_t kYamlNodesMax = 1'000'000;  // after aliases are copied
inline constexpr int kYamlDepthMax = 64;
inline constexpr std::size_t kYamlNumberBytesMax = 100;

struct YamlPosition {
  int file = 0;    // as given to parse_yaml
  int line = 0;    // from 1
  int column = 0;  // from 1
};

enum class YamlKind { kScalar, kModel, kList, kMap };

struct YamlEntry;

struct YamlNode {
  YamlKind kind = YamlKind::kScalar;
  YamlPosition at{};
  Value scalar{};                  // of a scalar; of a model: its name
  bool quoted = false;             // the column of its text is one further
  std::vector<YamlNode> items{};   // of a list
  std::vector<YamlEntry> entries;  // of a map, in file order; no initializer: clang wants
                                   // YamlEntry whole for one

  [[nodiscard]] const YamlNode* find(std::string_view key) const;
  [[nodiscard]] bool is_null() const { return kind == YamlKind::kScalar && scalar.is_null(); }
  [[nodiscard]] const char* kind_name()
      const;  // "null", "number", "text", ..., "model", "list", "map"
};

struct YamlEntry {
  std::string key{};
  YamlPosition at{};
  YamlNode value{};
};

// Errors are "NAME:LINE:COLUMN: ...".
[[nodiscard]] Result<YamlNode> parse_yaml(std::string_view text, std::string_view file_name,
                                          int file_number = 0);

}  // namespace strata

// Reads tests/golden/evaluator/*.jsonl.
#pragma once

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace strata::evaluator {

// Every line of a golden file; a test failure and nothing when it cannot be read.
inline std::vector<Value> golden_rows(const std::string& name) {
  const auto text = read_file(std::string(STRATA_SOURCE_DIR) + "/tests/golden/evaluator/" + name);
  EXPECT_TRUE(text.has_value()) << name;
  std::vector<Value> rows;
  std::istringstream lines(text.value_or(""));
  for (std::string line; std::getline(lines, line);) {
    auto row = parse_json(line);
    EXPECT_TRUE(row.has_value()) << name << ": " << line;
    if (row) rows.push_back(*row);
  }
  return rows;
}

inline std::string text_at(const Value& row, std::string_view key) {
  const Value* value = row.if_object() == nullptr ? nullptr : row.find(key);
  EXPECT_TRUE(value != nullptr && value->if_string() != nullptr) << key;
  return value != nullptr && value->if_string() != nullptr ? *value->if_string() : "";
}

inline std::vector<std::int64_t> integers_at(const Value& row, std::string_view key) {
  std::vector<std::int64_t> integers;
  const Value* value = row.find(key);
  EXPECT_TRUE(value != nullptr && value->if_array() != nullptr) << key;
  if (value == nullptr || value->if_array() == nullptr) return integers;
  for (const Value& item : *value->if_array())
    integers.push_back(item.if_number()->to_integer().value_or(-1));
  return integers;
}

}  // namespace strata::evaluator

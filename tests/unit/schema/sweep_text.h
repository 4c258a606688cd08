// Sweeps from texts instead of files, for the tests of the reader and of the expansion.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "schema/sweep.h"

namespace strata {

// Files by name; a sweep is read from "s.yaml".
using Files = std::map<std::string, std::string>;

inline Result<SweepDefinition> read(const Files& files) {
  return read_sweep("s.yaml", [&](const std::string& path) -> Result<std::string> {
    const auto it = files.find(path);
    if (it == files.end()) return fail(ErrorCode::kNotFound, "there is no file {}", path);
    return it->second;
  });
}

inline std::string error_of(const Files& files) {
  const auto definition = read(files);
  if (!definition) return definition.error().message;
  const auto expansion = expand(*definition);
  return expansion ? "no error" : expansion.error().message;
}

inline Expansion expand_text(const std::string& text, Files files = {}) {
  files["s.yaml"] = text;
  const auto definition = read(files);
  EXPECT_TRUE(definition) << definition.error().message;
  if (!definition) return {};
  auto expansion = expand(*definition);
  EXPECT_TRUE(expansion) << expansion.error().message;
  return expansion ? *expansion : Expansion{};
}

inline std::vector<std::string> cells_of(const Expansion& expansion) {
  std::vector<std::string> cells;
  for (const RunSpec& run : expansion.runs) {
    if (cells.empty() || cells.back() != run.cell) cells.push_back(run.cell);
  }
  return cells;
}

inline std::map<std::string, int> tasks_by_stage(const Expansion& expansion) {
  std::map<std::string, int> count;
  for (const TaskSpec& task : expansion.tasks) ++count[task.stage];
  return count;
}

inline std::vector<std::string> keys_of(const Expansion& expansion) {
  std::vector<std::string> keys;
  for (const TaskSpec& task : expansion.tasks) keys.push_back(task.key.hex());
  std::ranges::sort(keys);
  return keys;
}

using Strings = std::vector<std::string>;
using Counts = std::map<std::string, int>;

// Two stages: `make` reads a and b.c, `use` reads d, is seeded, and takes what `make` makes.
inline const std::string kStages = R"(stages:
  make: {program: m, reads: [a, b.c], outputs: [x]}
  use: {program: u, reads: [d], inputs: {x: make.x}, outputs: [y], seeded: true}
)";
inline const std::string kBase = "sweep: s\nbase: {a: 1, b: {c: 2}, d: 3}\n" + kStages;

}  // namespace strata

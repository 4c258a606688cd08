// What an attempt of `strata-trainer train` left in its folder, read back for tests.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"

namespace strata {

inline std::int64_t step_of(const Value& line) {
  return *line.find("step")->if_number()->to_integer();
}

// The complete lines of a progress file.
inline std::vector<Value> progress_of(const std::filesystem::path& attempt) {
  std::vector<Value> lines;
  std::istringstream text(read_file(attempt / "progress.jsonl").value_or(""));
  for (std::string line; std::getline(text, line);) {
    if (auto value = parse_json(line)) lines.push_back(std::move(*value));
  }
  return lines;
}

inline std::int64_t last_step(const std::filesystem::path& attempt) {
  const auto lines = progress_of(attempt);
  return lines.empty() ? 0 : step_of(lines.back());
}

// Every checkpoint that was announced, by its update.
inline std::map<std::int64_t, std::filesystem::path> checkpoints_of(
    const std::filesystem::path& attempt) {
  std::map<std::int64_t, std::filesystem::path> folders;
  for (const Value& line : progress_of(attempt)) {
    if (const Value* said = line.find("checkpoint"))
      folders.insert_or_assign(step_of(line), attempt / *said->if_string());
  }
  return folders;
}

// Empty when there was none.
inline std::filesystem::path last_checkpoint(const std::filesystem::path& attempt) {
  const auto folders = checkpoints_of(attempt);
  return folders.empty() ? std::filesystem::path() : folders.rbegin()->second;
}

// What was measured at each update under the name `of` and beside it, without what depends on the
// clock. An update that several lives tell of must be told the same way by all of them.
inline std::map<std::int64_t, Value> series_of(const std::filesystem::path& attempt,
                                               const char* of = "loss") {
  std::map<std::int64_t, Value> series;
  for (const Value& line : progress_of(attempt)) {
    const Value* metrics = line.find("metrics");
    if (metrics == nullptr || metrics->find(of) == nullptr) continue;
    Object kept = *metrics->if_object();
    kept.erase("frames_per_second");
    kept.erase("seconds_per_update");
    kept.erase("data_wait_seconds");
    kept.erase("data_wait_share");
    kept.erase("model_flops_per_second");
    kept.erase("model_flops_utilisation");
    const auto [at, fresh] = series.emplace(step_of(line), kept);
    EXPECT_TRUE(fresh || at->second == Value(kept)) << "update " << at->first << " told twice";
  }
  return series;
}

inline std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

inline void tear(const std::filesystem::path& checkpoint) {
  const std::filesystem::path file = checkpoint / "state.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
}

// Lines of validation.jsonl, in its order.
inline std::vector<Value> held_out_lines(const std::filesystem::path& attempt) {
  std::vector<Value> lines;
  std::istringstream text(read_file(attempt / "out/validation/validation.jsonl").value_or(""));
  for (std::string line; std::getline(text, line);) lines.push_back(parse_json(line).value());
  return lines;
}

}  // namespace strata

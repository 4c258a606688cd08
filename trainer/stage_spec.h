// The spec file of the stage contract (docs/stages.md, version 1), as every subcommand of the
// trainer reads it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/value.h"

namespace strata::trainer {

namespace exit_code {
inline constexpr int kSucceeded = 0;
inline constexpr int kFailed = 1;    // may be tried again
inline constexpr int kInvalid = 2;   // spec or inputs are wrong
inline constexpr int kDiverged = 3;  // the loss became NaN or infinite
inline constexpr int kStopped = 4;   // on request, after a checkpoint if there is anything to keep
}  // namespace exit_code

struct StageSpec {
  std::string task{};
  std::string stage{};
  std::int64_t attempt = 0;
  Value parameters{Object{}};
  std::optional<std::uint64_t> seed{};
  std::map<std::string, std::filesystem::path, std::less<>> inputs{};
  std::map<std::string, std::filesystem::path, std::less<>> outputs{};
  std::filesystem::path models{};
  std::optional<std::filesystem::path> resume{};
  int ranks = 1;
  int threads = 1;

  // An error that names the missing input or output.
  [[nodiscard]] Result<std::filesystem::path> input(std::string_view name) const;
  [[nodiscard]] Result<std::filesystem::path> output(std::string_view name) const;
};

[[nodiscard]] Result<StageSpec> read_stage_spec(const std::filesystem::path& path);

// Wrong input, unsupported or missing things give kInvalid; what might work later gives kFailed.
[[nodiscard]] int exit_code_of(const Error& error);

}  // namespace strata::trainer

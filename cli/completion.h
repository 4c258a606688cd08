// Shell completion, made from the commands themselves. Pure.
#pragma once

#include <string>
#include <vector>

namespace strata::cli {

enum class WordKind { kNothing, kFile, kSweep };

struct OptionShape {
  std::string name{};  // "--format"
  std::string help{};
  bool takes_value = false;
  std::vector<std::string> choices{};
};

struct CommandShape {
  std::string name{};
  std::string help{};
  std::vector<OptionShape> options{};
  WordKind words = WordKind::kNothing;  // what stands without an option
  std::vector<std::string> choices{};   // or one of these; with kFile first one, then a file
};

[[nodiscard]] std::string bash_completion(const std::vector<CommandShape>& commands);
[[nodiscard]] std::string zsh_completion(const std::vector<CommandShape>& commands);
[[nodiscard]] std::string fish_completion(const std::vector<CommandShape>& commands);

}  // namespace strata::cli

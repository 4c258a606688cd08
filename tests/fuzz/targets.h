// What is fuzzed: functions from any bytes to a short text that says how they were taken. They end;
// they do not crash; and properties that must hold for every input are asserted in them. The same
// functions are run by strata-fuzz (main.cc), on the kept corpora by a unit test, and by libFuzzer
// (libfuzzer_entry.cc).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace strata::fuzz {

struct FuzzTarget {
  const char* name = "";
  const char* what = "";
  // Inputs that end alike say the same, but for digits and what stands in quotes.
  std::string (*run)(std::string_view input) = nullptr;
  std::vector<std::string> dictionary{};  // pieces that a mutation may put in
};

[[nodiscard]] const std::vector<FuzzTarget>& fuzz_targets();
[[nodiscard]] const FuzzTarget* find_target(std::string_view name);

// Each in its own file.
std::string run_wire(std::string_view input);
std::string run_codec(std::string_view input);
std::string run_event(std::string_view input);
std::string run_store(std::string_view input);
std::string run_sweep(std::string_view input);
std::string run_expression(std::string_view input);
std::string run_yaml(std::string_view input);
std::string run_json(std::string_view input);
std::string run_policy(std::string_view input);
std::string run_safetensors(std::string_view input);
std::string run_words(std::string_view input);
std::string run_utterance(std::string_view input);
std::string run_tokens(std::string_view input);
std::string run_sound(std::string_view input);

}  // namespace strata::fuzz

// What a stage needs, as it stands in a file.
#include <algorithm>
#include <array>
#include <charconv>

#include "schema/reading.h"

namespace strata {
namespace {

constexpr std::int64_t kSlotsMax = 4096;
constexpr std::int64_t kMemoryMbMax = std::int64_t{1} << 26;  // 64 TiB
constexpr std::int64_t kExpectedMinutesMax = 366 * 24 * 60;

struct MemoryUnit {
  std::string_view name{};
  std::int64_t mb = 0;
};
constexpr std::array<MemoryUnit, 3> kMemoryUnits{MemoryUnit{"MiB", 1}, MemoryUnit{"GiB", 1024},
                                                 MemoryUnit{"TiB", 1024 * 1024}};

// "12GiB". A bare number would leave the unit to guesses, and GB means two things.
Result<std::int64_t> read_memory(const Reading& reading, const YamlNode& node) {
  static constexpr std::string_view kExpected =
      "memory must be a whole number with its unit, MiB, GiB or TiB: 12GiB";
  const std::string* text = node.kind == YamlKind::kScalar ? node.scalar.if_string() : nullptr;
  if (text == nullptr)
    return reading.wrong(node.at, fmt::format("{}, not a {}", kExpected, node.kind_name()));
  const char* const end = text->data() + text->size();
  std::int64_t number = 0;
  const auto [stop, error] = std::from_chars(text->data(), end, number);
  const std::string_view unit(stop, static_cast<std::size_t>(end - stop));
  const auto* const known = std::ranges::find(kMemoryUnits, unit, &MemoryUnit::name);
  if (error != std::errc{} || known == kMemoryUnits.end())
    return reading.wrong(node.at, fmt::format("{}, not \"{}\"", kExpected, *text));
  if (number < 1 || number > kMemoryMbMax / known->mb)
    return reading.wrong(node.at, fmt::format("memory must be from 1MiB to 64TiB, not {}", *text));
  return number * known->mb;
}

}  // namespace

Resources lay_over(Resources resources, const ResourceChange& change) {
  resources.slots = change.slots.value_or(resources.slots);
  resources.ranks = change.ranks.value_or(resources.ranks);
  resources.threads = change.threads.value_or(resources.threads);
  if (change.labels) resources.labels = *change.labels;
  resources.memory_mb = change.memory_mb.value_or(resources.memory_mb);
  resources.expected_ms = change.expected_ms.value_or(resources.expected_ms);
  return resources;
}

Result<ResourceChange> read_resource_change(const Reading& reading, const YamlNode& node) {
  STRATA_CHECK_OK(reading.must_be(node, YamlKind::kMap, "resources"));
  STRATA_CHECK_OK(reading.only_keys(
      node, {"slots", "ranks", "threads", "labels", "memory", "expected_minutes"}));
  ResourceChange change;
  if (const YamlNode* slots = node.find("slots")) {
    STRATA_TRY(change.slots, reading.integer(*slots, "slots", 1, kSlotsMax));
  }
  if (const YamlNode* ranks = node.find("ranks")) {
    STRATA_TRY(change.ranks, reading.integer(*ranks, "ranks", 0, kSlotsMax));
  }
  if (const YamlNode* threads = node.find("threads")) {
    STRATA_TRY(change.threads, reading.integer(*threads, "threads", 1, kSlotsMax));
  }
  if (const YamlNode* labels = node.find("labels")) {
    STRATA_TRY(change.labels, reading.texts(*labels, "labels"));
    std::ranges::sort(*change.labels);
  }
  if (const YamlNode* memory = node.find("memory")) {
    STRATA_TRY(change.memory_mb, read_memory(reading, *memory));
  }
  if (const YamlNode* expected = node.find("expected_minutes")) {
    STRATA_TRY(const std::int64_t minutes,
               reading.integer(*expected, "expected_minutes", 1, kExpectedMinutesMax));
    change.expected_ms = minutes * 60'000;
  }
  return change;
}

Result<Resources> read_resources(const Reading& reading, const YamlNode& node,
                                 const Resources& over) {
  STRATA_TRY(const ResourceChange change, read_resource_change(reading, node));
  return lay_over(over, change);
}

}  // namespace strata

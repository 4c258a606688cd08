// How much memory a rank may fill with mels and features.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace strata::trainer {

// Of what the rank may use: the rest is for weights, activations and the page cache, through which
// all ranks of a machine read the features that they do not hold.
inline constexpr double kDatasetMemoryShare = 0.5;

// The machine's memory, or the least limit of the cgroups that this process is in, whichever is
// less; in bytes. `root` is "/" but in tests.
[[nodiscard]] std::int64_t usable_memory(const std::filesystem::path& root = "/");

// The share of one rank, where mpirun started several on this machine.
[[nodiscard]] std::int64_t dataset_memory();

}  // namespace strata::trainer

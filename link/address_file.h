// How workers and clients find their coordinator: `coordinator.json` in its store folder, mode 0600
// because the public key in it is what admits them. Written by the coordinator when it listens,
// removed when it ends cleanly.
//
//   {"address": "tcp://127.0.0.1:40123", "coordinator": "9f2c…", "metrics_address":
//   "127.0.0.1:40124",
//    "pid": 4711, "public_key": "…40 characters of Z85, or empty: no CURVE"}
//
// Which file: --coordinator FILE, else $STRATA_COORDINATOR, else
// ${XDG_STATE_HOME:-~/.local/state}/strata/default/coordinator.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace strata::link {

inline constexpr const char* kAddressFileName = "coordinator.json";
inline constexpr const char* kCoordinatorVariable = "STRATA_COORDINATOR";
inline constexpr unsigned kAddressFileMode = 0600;

struct AddressFile {
  std::string address{};
  std::string public_key{};
  std::int64_t pid = 0;
  std::string coordinator{};      // the store's random name
  std::string metrics_address{};  // host:port, or empty
  bool operator==(const AddressFile&) const = default;
};

[[nodiscard]] std::string address_file_text(const AddressFile& file);
[[nodiscard]] Result<AddressFile> parse_address_file(std::string_view text);

// kNotFound with what to do about it when there is none.
[[nodiscard]] Result<AddressFile> read_address_file(const std::filesystem::path& path);
[[nodiscard]] Status write_address_file(const std::filesystem::path& path, const AddressFile& file);

// The folder in which `strata up` keeps its store, and the file that an option or the environment
// names.
using Getenv = std::function<std::optional<std::string>(const char*)>;
[[nodiscard]] std::optional<std::string> process_environment(const char* name);
[[nodiscard]] std::filesystem::path default_store_folder(
    const Getenv& environment = process_environment);
[[nodiscard]] std::filesystem::path find_address_file(
    const std::string& option, const Getenv& environment = process_environment);

}  // namespace strata::link

#include "link/address_file.h"

#include <cstdlib>

#include "base/fields.h"
#include "base/files.h"
#include "base/json.h"

namespace strata::link {

namespace fs = std::filesystem;

std::string address_file_text(const AddressFile& file) {
  return to_pretty_json(Object{{"address", file.address},
                               {"coordinator", file.coordinator},
                               {"metrics_address", file.metrics_address},
                               {"pid", file.pid},
                               {"public_key", file.public_key}}) +
         "\n";
}

Result<AddressFile> parse_address_file(std::string_view text) {
  STRATA_TRY(const Value value, parse_json(text));
  Fields fields(value, "address file");
  AddressFile file;
  file.address = fields.text("address");
  file.public_key = fields.text("public_key", std::string());
  file.pid = fields.integer("pid", 0);
  file.coordinator = fields.text("coordinator", std::string());
  file.metrics_address = fields.text("metrics_address", std::string());
  fields.require(!file.address.empty(), "address", "must not be empty");
  STRATA_CHECK_OK(fields.finish());
  return file;
}

Result<AddressFile> read_address_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return fail(ErrorCode::kNotFound,
                "no coordinator is known here: {} does not exist. Start one with `strata up`, or "
                "name its file with "
                "--coordinator or {}",
                path.string(), kCoordinatorVariable);
  }
  auto file =
      read_file(path).and_then([](const std::string& text) { return parse_address_file(text); });
  if (!file)
    return tl::unexpected(file.error().while_doing(fmt::format("reading {}", path.string())));
  return file;
}

Status write_address_file(const fs::path& path, const AddressFile& file) {
  return write_file_atomic(path, address_file_text(file), kAddressFileMode);
}

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

fs::path default_store_folder(const Getenv& environment) {
  if (const auto state = environment("XDG_STATE_HOME"))
    return fs::path(*state) / "strata" / "default";
  const fs::path home = environment("HOME").value_or("/");
  return home / ".local" / "state" / "strata" / "default";
}

fs::path find_address_file(const std::string& option, const Getenv& environment) {
  if (!option.empty()) return option;
  if (const auto named = environment(kCoordinatorVariable)) return *named;
  return default_store_folder(environment) / kAddressFileName;
}

}  // namespace strata::link

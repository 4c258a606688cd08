// What the store is called: the table `store` of the event log has it, and the file beside it
// ("events.sqlite-name") has it once more, with a checksum. Workers know their coordinator by it:
// under another name every one of them would end what it runs, so a name that is gone or changed is
// damage, and never a reason to invent one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "coordinator/sqlite.h"

namespace strata::coordinator {

[[nodiscard]] std::filesystem::path name_file(const std::filesystem::path& database);
// Nothing where there is no such file, or none that can be believed.
[[nodiscard]] std::optional<std::string> read_name_file(const std::filesystem::path& database);

// What the event log says; throws SQLite::Exception.
[[nodiscard]] std::optional<std::string> stored_name(SQLite::Database& database);

// What is wrong with the name of a log with events; empty: nothing.
[[nodiscard]] std::string name_damage(const std::filesystem::path& file,
                                      const std::optional<std::string>& stored);

// The name of a damaged store; empty where neither says it.
[[nodiscard]] std::string believed_name(const std::filesystem::path& file);

// The name of a log that ends with event `last_seq`. Without events it may have none yet: then it
// gets `name`. kDamaged: name_damage().
[[nodiscard]] Result<std::string> settle_name(SQLite::Database& database,
                                              const std::filesystem::path& file,
                                              std::uint64_t last_seq, const std::string& name);

}  // namespace strata::coordinator

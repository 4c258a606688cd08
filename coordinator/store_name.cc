#include "coordinator/store_name.h"

#include "base/files.h"
#include "schema/codec.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kNameBytesMax = 1'024;

// "NAME CHECK\n".
std::string text_of(const std::string& name) {
  return fmt::format("{} {:08x}\n", name, crc32c(name));
}

}  // namespace

fs::path name_file(const fs::path& database) { return database.string() + "-name"; }

std::optional<std::string> read_name_file(const fs::path& database) {
  const auto text = read_file(name_file(database), kNameBytesMax);
  if (!text) return std::nullopt;
  const std::string name = text->substr(0, text->rfind(' '));
  if (name.empty() || *text != text_of(name)) return std::nullopt;
  return name;
}

std::optional<std::string> stored_name(SQLite::Database& database) {
  SQLite::Statement select(database, "SELECT value FROM store WHERE name = 'coordinator'");
  if (!select.executeStep()) return std::nullopt;
  return select.getColumn(0).getString();
}

std::string name_damage(const fs::path& file, const std::optional<std::string>& stored) {
  const auto beside = read_name_file(file);
  if (!stored) return "the name of the store is gone";
  if (!beside || *beside == *stored) return "";
  return fmt::format(
      "the store is called {}, and {} says {}: one of them was changed on the disk, or is of "
      "another store",
      *stored, name_file(file).filename().string(), *beside);
}

std::string believed_name(const fs::path& file) {
  if (const auto beside = read_name_file(file)) return *beside;
  auto database = open_damaged(file);
  if (!database) return "";
  const auto stored =
      from_sqlite("reading the store's name", [&] { return stored_name(**database); });
  return stored && *stored ? **stored : std::string();
}

Result<std::string> settle_name(SQLite::Database& database, const fs::path& file,
                                std::uint64_t last_seq, const std::string& name) {
  const std::string opening = fmt::format("opening {}", file.string());
  STRATA_TRY(std::optional<std::string> stored,
             from_sqlite(opening, [&] { return stored_name(database); }));
  if (last_seq > 0) {
    const std::string damage = name_damage(file, stored);
    if (!damage.empty()) return fail(ErrorCode::kDamaged, "{}: {}", file.string(), damage);
  }
  if (!stored) {
    stored = name;
    STRATA_CHECK_OK(from_sqlite(opening, [&] {
      Statements(database).run("INSERT INTO store (name, value) VALUES ('coordinator', ?)", name);
    }));
  }
  if (read_name_file(file) != stored)
    STRATA_CHECK_OK(write_file_atomic(name_file(file), text_of(*stored), 0600));
  return *stored;
}

}  // namespace strata::coordinator

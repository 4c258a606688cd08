#include "coordinator/open_stores.h"

#include "base/log.h"
#include "coordinator/salvage.h"
#include "coordinator/sqlite.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

std::string list(const std::vector<std::string>& names) {
  constexpr std::size_t kDigits = 12;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kTasksShown); ++i)
    text += (i > 0 ? ", " : "") + names[i].substr(0, kDigits);
  if (names.size() > kTasksShown) text += fmt::format(" and {} more", names.size() - kTasksShown);
  return text;
}

std::string fsck_command(const StoreFolder& folder, std::string_view options = "") {
  return fmt::format("`strata-coordinator fsck --store {}{}`", folder.path().string(), options);
}

std::string reason_of(const Damage& damage, const StoreFolder& folder) {
  return fmt::format("the event log is damaged at event {} ({}); {}; {} says more", damage.seq,
                     damage.what,
                     damage.tasks.empty() ? "which tasks later events name cannot be read"
                                          : fmt::format("{} tasks are named from there on: {}",
                                                        damage.tasks.size(), list(damage.tasks)),
                     fsck_command(folder));
}

Error nothing_left(const Error& error, const StoreFolder& folder) {
  return {ErrorCode::kDamaged,
          fmt::format("{}; nothing of the event log can be read, so {} cannot be served: move that "
                      "folder away, then start with --restore and its mirror or a backup",
                      error.message, folder.path().string())};
}

// Whether questions can be asked of the file.
bool has_tables(const fs::path& file) {
  auto database = open_damaged(file);
  return database && from_sqlite("looking for tables", [&] {
                       (*database)->execAndGet("SELECT count(*) FROM task NOT INDEXED");
                     }).has_value();
}

// Up to which event they go; 0 where they do not say.
std::uint64_t reach_of(const fs::path& tables) {
  std::uint64_t reach = 0;
  auto database = open_damaged(tables);
  if (!database) return reach;
  const Status read = from_sqlite("looking for tables", [&] {
    reach = static_cast<std::uint64_t>(
        (*database)->execAndGet("SELECT coalesce(max(seq), 0) FROM follows").getInt64());
  });
  static_cast<void>(read);
  return reach;
}

// Where nothing of the log can be read, every task that the tables know is affected.
void name_all_tasks(const fs::path& tables, Damage& damage) {
  auto database = open_damaged(tables);
  if (!database) return;
  std::set<std::string> named(damage.tasks.begin(), damage.tasks.end());
  const Status read = from_sqlite("naming the affected tasks", [&] {
    SQLite::Statement select(**database, "SELECT task FROM task NOT INDEXED LIMIT ?");
    Statements::bind(select, kDamagedTasksMax);
    while (select.executeStep()) named.insert(select.getColumn(0).getString());
  });
  static_cast<void>(read);  // as far as it goes
  damage.tasks.assign(named.begin(), named.end());
}

struct OpenEvents {
  EventStore store;
  fs::path file{};
  fs::path tables{};
  Replayed replayed{};
  std::string safe_mode{};
};

// From a copy of what can be read.
Result<OpenEvents> salvage(const StoreFolder& folder, const fs::path& scratch, const Error& why,
                           const std::function<void(const Event&)>& observer) {
  STRATA_CHECK_OK(make_folder(scratch));
  const fs::path copy = scratch / "events.sqlite";
  auto salvaged = salvage_events(folder.events_file(), copy, false);
  if (!salvaged) return tl::unexpected(nothing_left(salvaged.error(), folder));
  const fs::path tables = tables_file(folder.events_file());
  if (salvaged->events == 0 && !has_tables(tables))
    return tl::unexpected(nothing_left(why, folder));
  if (salvaged->damage && salvaged->events == 0) name_all_tasks(tables, *salvaged->damage);
  STRATA_TRY(EventStore events, EventStore::open(copy));
  STRATA_TRY(Replayed replayed, events.replay(observer));
  STRATA_CHECK_OK(events.tables().wait(events.last_seq(), kTablesWaitMax));
  std::string reason;
  if (salvaged->damage) {
    reason = reason_of(*salvaged->damage, folder);
    replayed.damage = salvaged->damage;
  } else {
    reason = fmt::format(
        "{}; the event log itself is whole, with {} events, so nothing is lost: {} writes the "
        "file anew",
        why.message, salvaged->events, fsck_command(folder, " --repair"));
  }
  return OpenEvents{.store = std::move(events),
                    .file = copy,
                    // The tables beside a damaged log know more than those of a log that was cut,
                    // unless they were behind it.
                    .tables = has_tables(tables) && reach_of(tables) >= salvaged->events
                                  ? tables
                                  : tables_file(copy),
                    .replayed = std::move(replayed),
                    .safe_mode = std::move(reason)};
}

// As a store has it in which no point was ever taken in, while the log is old.
bool is_gone(const fs::path& file) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(file, error);
  return error || size == 0;
}

Result<MetricStore> open_metrics(const StoreFolder& folder, const fs::path& scratch,
                                 std::uint64_t events, fs::path& file, std::string& safe_mode) {
  file = folder.metrics_file();
  std::string why = events > 0 && is_gone(file) ? "it is empty or gone" : "";
  if (why.empty()) {
    auto metrics = MetricStore::open(file);
    if (metrics || metrics.error().code != ErrorCode::kDamaged) return metrics;
    why = metrics.error().message;
  }
  STRATA_CHECK_OK(make_folder(scratch));
  file = scratch / "metrics.sqlite";
  STRATA_TRY(const SalvagedPoints salvaged, salvage_points(folder.metrics_file(), file));
  if (!safe_mode.empty()) safe_mode += "; ";
  safe_mode += fmt::format(
      "the metric points in {} are damaged ({}); {} points can be read{}; {} keeps them and goes "
      "on",
      folder.metrics_file().filename().string(), why, salvaged.points,
      salvaged.series.empty() ? "" : ", with gaps in those of " + list(salvaged.series),
      fsck_command(folder, " --repair --drop-damaged"));
  return MetricStore::open(file);
}

Result<OpenEvents> open_events(const StoreFolder& folder, const fs::path& scratch,
                               const std::function<void(const Event&)>& observer) {
  auto events = EventStore::begin_opening(folder.events_file());
  if (!events) {
    if (events.error().code != ErrorCode::kDamaged) return tl::unexpected(events.error());
    return salvage(folder, scratch, events.error(), observer);
  }
  STRATA_TRY(Replayed replayed, events->replay(observer));
  STRATA_CHECK_OK(events->finish_opening());
  std::string reason;
  if (replayed.damage) {
    reason = reason_of(*replayed.damage, folder);
    // Questions are asked of the tables as they are from now on. They may be left as they are, too.
    static_cast<void>(events->tables().wait(replayed.events, kTablesWaitMax));
  }
  return OpenEvents{.store = std::move(*events),
                    .file = folder.events_file(),
                    .tables = tables_file(folder.events_file()),
                    .replayed = std::move(replayed),
                    .safe_mode = std::move(reason)};
}

}  // namespace

Result<OpenStores> open_stores(const StoreFolder& folder,
                               const std::function<void(const Event&)>& observer) {
  const fs::path scratch = folder.path() / "safe-mode";
  std::error_code ignored;
  fs::remove_all(scratch, ignored);
  STRATA_TRY(OpenEvents events, open_events(folder, scratch, observer));
  fs::path metrics_file;
  STRATA_TRY(MetricStore metrics,
             open_metrics(folder, scratch, events.replayed.events, metrics_file, events.safe_mode));
  return OpenStores{.events = std::move(events.store),
                    .metrics = std::move(metrics),
                    .events_file = std::move(events.file),
                    .metrics_file = std::move(metrics_file),
                    .tables_file = std::move(events.tables),
                    .replayed = std::move(events.replayed),
                    .safe_mode = std::move(events.safe_mode)};
}

}  // namespace strata::coordinator

#include "coordinator/repair.h"

#include "coordinator/fsck.h"
#include "coordinator/sqlite.h"
#include "coordinator/store_files.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

std::string loss_text(const Repaired& repaired) {
  std::string text;
  if (repaired.events.damage) {
    text += fmt::format("events from {} on ({}); tasks that they name: {}\n",
                        repaired.events.damage->seq, repaired.events.damage->what,
                        repaired.events.damage->tasks.size());
    for (const std::string& task : repaired.events.damage->tasks) text += "  " + task + "\n";
  }
  if (repaired.events.nameless) {
    text +=
        "the name of the store: with a new one, its workers end what they run when it is started\n";
  }
  if (!repaired.points.damage.empty()) {
    text += fmt::format("metric points beyond the {} that can be read ({})\n",
                        repaired.points.points, repaired.points.damage);
    for (const std::string& series : repaired.points.series) text += "  " + series + "\n";
  }
  return text;
}

Result<Repaired> salvage_into(const StoreFolder& folder, const fs::path& scratch,
                              bool drop_damaged) {
  Repaired repaired;
  STRATA_TRY(repaired.events,
             salvage_events(folder.events_file(), scratch / "events.sqlite", drop_damaged));
  STRATA_TRY(repaired.points, salvage_points(folder.metrics_file(), scratch / "metrics.sqlite"));
  const std::string loss = loss_text(repaired);
  if (!loss.empty() && !drop_damaged) {
    return fail(ErrorCode::kConflict,
                "repairing {} would lose\n{}nothing was changed; a mirror or a backup may have "
                "them, else go on without them with --drop-damaged",
                folder.path().string(), loss);
  }
  STRATA_TRY(const FsckReport made, fsck(scratch / "events.sqlite", scratch / "metrics.sqlite"));
  if (!made.sound()) return fail(ErrorCode::kInternal, "the repaired copy: {}", made.text());
  return repaired;
}

}  // namespace

std::string Repaired::text() const {
  if (was_sound) return "sound; nothing to repair\n";
  const std::string loss = loss_text(*this);
  return fmt::format(
      "repaired: {} events, derived tables made again, {} metric points\n{}{}the old files are in "
      "{}\n",
      events.events, points.points, loss.empty() ? "" : "lost: ", loss, replaced);
}

Result<Repaired> repair_store(const StoreFolder& folder, bool drop_damaged) {
  std::error_code ignored;
  const auto found = fsck(folder.events_file(), folder.metrics_file());
  if (found && found->sound()) return Repaired{.was_sound = true};
  if (!found && found.error().code != ErrorCode::kDamaged) return tl::unexpected(found.error());
  const fs::path scratch = folder.path() / "repairing";
  fs::remove_all(scratch, ignored);
  STRATA_CHECK_OK(make_folder(scratch));
  auto repaired = salvage_into(folder, scratch, drop_damaged);
  if (repaired && repaired->events.events == 0 && repaired->events.damage) {
    repaired = fail(ErrorCode::kDamaged,
                    "nothing of the event log in {} can be read ({}): restore it from a mirror or "
                    "a backup, or move the folder away and begin anew",
                    folder.path().string(), repaired->events.damage->what);
  }
  if (!repaired) {
    fs::remove_all(scratch, ignored);
    return repaired;
  }
  STRATA_TRY(repaired->replaced, replace_databases(folder, scratch));
  return repaired;
}

}  // namespace strata::coordinator

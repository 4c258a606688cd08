// backup: the one command that does not ask the coordinator but reads its store, so it also works
// without one. The reading itself is strata-coordinator's.
#include <filesystem>

#include "base/json.h"
#include "base/subprocess.h"
#include "cli/commands.h"
#include "cli/render/progress.h"
#include "cli/up.h"
#include "cli/view.h"
#include "link/address_file.h"

namespace strata::cli {
namespace {

namespace fs = std::filesystem;

// The coordinator's address file lies in its store.
Result<fs::path> store_folder(const std::string& address_file) {
  const fs::path file = link::find_address_file(address_file);
  const fs::path folder = fs::absolute(file).parent_path();
  std::error_code ignored;
  if (fs::exists(folder / "events.sqlite", ignored)) return folder;
  return fail(ErrorCode::kNotFound,
              "backup: there is no store in {}. It is taken on the coordinator's own machine: name "
              "the address file that lies in its store with --coordinator",
              folder.string());
}

}  // namespace

Result<int> run_backup(Context& context, const std::string& address_file,
                       const std::string& folder) {
  STRATA_TRY(const fs::path store, store_folder(address_file));
  STRATA_TRY(const std::string program, program_path("strata-coordinator"));
  const fs::path to = fs::absolute(folder);
  std::error_code ignored;
  if (fs::exists(to, ignored))
    return fail(ErrorCode::kInvalid, "{} exists: name a new folder for the backup", to.string());
  STRATA_TRY(
      const Captured done,
      run_captured({.argv = {program, "backup", "--store", store.string(), "--to", to.string()}}));
  if (!done.exit.ok())  // it has said why on standard error
    return fail(ErrorCode::kUnavailable, "backup: nothing was kept ({})", done.exit.describe());
  STRATA_TRY(Value taken, parse_json(done.output));
  taken.if_object()->emplace("folder", to.string());
  context.answer(taken, fmt::format("{}: {} and {}, read back and sound\n", to.string(),
                                    plural(integer_at(taken, "events"), "event"),
                                    plural(integer_at(taken, "points"), "metric point")));
  return kExitOk;
}

}  // namespace strata::cli

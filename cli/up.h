// `strata up`: a coordinator and one worker on this machine, on loopback, in one folder:
//
//   FOLDER/coordinator.json, events.sqlite, …   the coordinator's store
//   FOLDER/artifacts                            what stages made
//   FOLDER/worker                               the worker's attempts
//   FOLDER/logs                                 coordinator.log, worker.log
//   FOLDER/up.json                              who was started, for `up --stop`
#pragma once

#include <string>

#include "cli/context.h"

namespace strata::cli {

inline constexpr const char* kUpFileName = "up.json";

struct UpOptions {
  std::string folder{};
  std::int64_t slots = 0;  // 0: the worker decides
  std::string models{};    // folder of exported models
  std::string metrics{};   // HOST:PORT for Prometheus; empty: the coordinator's default
  std::string mirror{};    // folder of the store's mirror; empty: none
  std::string restore{};   // mirror from which the store is made first; empty: none
  bool detach = false;
};

// Programs of ours lie beside this one, else in PATH.
[[nodiscard]] Result<std::string> program_path(const std::string& name);

Result<int> run_up(Context& context, const UpOptions& options);
Result<int> run_down(Context& context, const std::string& folder);

}  // namespace strata::cli

// strata-coordinator --store DIR ...        the daemon
// strata-coordinator fsck --store DIR       checks a store; exit 0 when it is sound, 1 when not
// strata-coordinator fsck --repair ...      makes a damaged store anew from its log
// strata-coordinator backup --store DIR --to DIR   a copy of the store, also while it is in use
// strata-coordinator events --store DIR     the event log as JSON lines

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <memory>

#include "base/json.h"
#include "base/log.h"
#include "coordinator/backup.h"
#include "coordinator/core/admission.h"
#include "coordinator/fsck.h"
#include "coordinator/repair.h"
#include "coordinator/service.h"
#include "link/address_file.h"

namespace {

using strata::coordinator::Service;
using strata::coordinator::ServiceOptions;

constexpr int kExitUsage = 2;

Service* running_service = nullptr;  // for the signal handler; set before the handler is installed

extern "C" void on_signal(int) { running_service->stop(); }

int complain(const strata::Error& error) {
  strata::log_error("coordinator", "{}", error.message);
  return 1;
}

int serve(const ServiceOptions& options) {
  auto service = Service::start(options);
  if (!service) return complain(service.error());
  running_service = service->get();
  struct sigaction action {};
  action.sa_handler = on_signal;
  for (const int signal : {SIGTERM, SIGINT}) sigaction(signal, &action, nullptr);
  const strata::Status ended = (*service)->run();
  for (const int signal : {SIGTERM, SIGINT}) std::signal(signal, SIG_IGN);
  if (!ended) return complain(ended.error());
  strata::log_info("coordinator", "ended; everything that was acknowledged is in the store");
  return 0;
}

int check(const std::filesystem::path& store) {
  const auto report = strata::coordinator::fsck(store / "events.sqlite", store / "metrics.sqlite");
  if (!report) return complain(report.error());
  std::fputs(report->text().c_str(), stdout);
  return report->sound() ? 0 : 1;
}

int repair(const ServiceOptions& options, bool drop_damaged) {
  const auto folder =
      strata::coordinator::StoreFolder::open(options.store, options.force_network_filesystem);
  if (!folder) return complain(folder.error());
  const auto repaired = strata::coordinator::repair_store(*folder, drop_damaged);
  if (!repaired) return complain(repaired.error());
  std::fputs(repaired->text().c_str(), stdout);
  return 0;
}

int backup(const std::filesystem::path& store, const std::filesystem::path& to) {
  const auto taken = strata::coordinator::take_backup(store, to);
  if (!taken) return complain(taken.error());
  std::puts(strata::to_canonical_json(taken->value()).c_str());
  return 0;
}

int list(const std::filesystem::path& store) {
  const auto listed = strata::coordinator::list_events(
      store / "events.sqlite", [](const std::string& line) { std::puts(line.c_str()); });
  return listed ? 0 : complain(listed.error());
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  ServiceOptions options;
  options.build = STRATA_BUILD;
  options.store = strata::link::default_store_folder();
  CLI::App app{"The coordinator of Strata: plans, schedules and remembers.", "strata-coordinator"};
  app.set_version_flag("--version", options.build);
  app.add_option("--store", options.store, "folder of the event log; on a local disk")
      ->capture_default_str();
  app.add_option("--bind", options.bind, "where to listen; port 0: that of the last time, or any")
      ->capture_default_str();
  app.add_option("--heartbeat-port", options.heartbeat_port,
                 "where heartbeats come in, beside --bind; 0: that of the last time, or any")
      ->capture_default_str()
      ->check(CLI::Range(0, 65'535));
  app.add_option("--advertise", options.advertise,
                 "host under which others reach this one (default: the bound one)");
  app.add_option("--address-file", options.address_file,
                 "write coordinator.json here as well: where other machines see it");
  app.add_option("--metrics", options.metrics, "HOST:PORT for Prometheus; empty: none")
      ->capture_default_str();
  app.add_option("--artifacts", options.artifacts,
                 "folder of artifacts, shared with the workers (default: STORE/artifacts)");
  app.add_option("--prometheus-targets", options.targets_file,
                 "write where metrics are served here, for Prometheus' file_sd");
  app.add_option("--user-slots", options.core.scheduler.user_slots_max,
                 "slots that one user may hold at once; 0: no quota")
      ->capture_default_str()
      ->check(CLI::Range(std::int64_t{0}, strata::coordinator::kCountMax));
  app.add_option("--scoring-share", options.core.scheduler.scoring_share,
                 "part of all slots that scoring gets before anything else")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--mirror", options.mirror,
                 "keep a copy of the store up to date in this folder, on another disk");
  double mirror_seconds = std::chrono::duration<double>(options.mirror_every).count();
  app.add_option("--mirror-every", mirror_seconds,
                 "seconds between two passes: as much is lost with a disk")
      ->check(CLI::Range(0.1, 86'400.0))
      ->capture_default_str();
  app.add_option("--restore", options.restore,
                 "make the store from this mirror first, and keep that one up to date; or from a "
                 "backup");
  app.add_flag("--force-network-filesystem", options.force_network_filesystem,
               "allow a store on NFS, Lustre and the like");
  CLI::App* fsck =
      app.add_subcommand("fsck", "check a store: events, checksum chain, derived tables");
  fsck->add_option("--store", options.store, "folder of the event log");
  bool repairing = false;
  bool drop_damaged = false;
  CLI::Option* repair_flag = fsck->add_flag(
      "--repair", repairing, "make the derived tables again from the log; keeps the old files");
  fsck->add_flag("--drop-damaged", drop_damaged, "with --repair: go on without what cannot be read")
      ->needs(repair_flag);
  CLI::App* back = app.add_subcommand(
      "backup", "copy a store, also while its coordinator works; prints what it holds as JSON");
  std::filesystem::path backup_folder;
  back->add_option("--store", options.store, "folder of the event log");
  back->add_option("--to", backup_folder, "a new folder; --restore starts from it")->required();
  CLI::App* events = app.add_subcommand("events", "print the event log as JSON lines");
  events->add_option("--store", options.store, "folder of the event log");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  if (repairing) return repair(options, drop_damaged);
  if (fsck->parsed()) return check(options.store);
  if (back->parsed()) return backup(options.store, backup_folder);
  if (events->parsed()) return list(options.store);
  options.mirror_every = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::duration<double>(mirror_seconds));
  return serve(options);
}

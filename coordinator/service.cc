#include "coordinator/service.h"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <set>

#include "base/files.h"
#include "base/host.h"
#include "base/json.h"
#include "base/log.h"
#include "coordinator/backup.h"
#include "coordinator/open_stores.h"
#include "coordinator/restore.h"
#include "coordinator/server.h"
#include "coordinator/store_folder.h"
#include "coordinator/tables_check.h"
#include "link/address_file.h"

namespace strata::coordinator {
namespace {

namespace fs = std::filesystem;

// With port 0, the port of the last time is tried first, so that workers and clients need not look
// again.
Result<RouterSocket> bind_where_we_were(const std::string& address, const fs::path& remembered,
                                        const CurveKeys& keys) {
  if (address.ends_with(":0")) {
    auto last = read_file(remembered);
    const std::string host = address.substr(0, address.size() - 1);
    if (last && last->starts_with(host)) {
      if (auto socket = RouterSocket::bind(*last, keys)) return socket;
    }
  }
  return RouterSocket::bind(address, keys);
}

// Heartbeats have a socket of their own, on the same interface.
std::string heartbeat_bind(const ServiceOptions& options) {
  return fmt::format("{}:{}", options.bind.substr(0, options.bind.rfind(':')),
                     options.heartbeat_port);
}

struct Parts {  // in the order of construction; destroyed from the last to the first
  StoreFolder folder;
  EventStore events;
  MetricStore metrics;
  RouterSocket socket;
  WakeUp wake;
  RouterSocket heartbeat_socket;
  WakeUp heartbeat_wake;
  std::optional<Exporter> exporter;
  fs::path shared_address_file{};
  fs::path targets_file{};
  link::AddressFile announced{};
  SystemClock clock{};
  std::unique_ptr<Mirror> mirror{};  // may be null
};

class RealService final : public Service {
 public:
  RealService(Parts parts, Query query, const ServerFacts& facts, const ServerOptions& options,
              Core core, LiveView live)
      : parts_(std::move(parts)),
        queries_(std::move(query), facts, parts_.wake,
                 options.safe_mode.empty() ? &parts_.events.tables() : nullptr),
        heartbeats_(std::move(parts_.heartbeat_socket), std::move(parts_.heartbeat_wake),
                    parts_.wake),
        server_(ServerParts{.socket = parts_.socket,
                            .wake = parts_.wake,
                            .events = parts_.events,
                            .metrics = parts_.metrics,
                            .queries = queries_,
                            .heartbeats = &heartbeats_,
                            .exporter = parts_.exporter ? &*parts_.exporter : nullptr,
                            .mirror = parts_.mirror.get(),
                            .plans = facts.plans,
                            .clock = parts_.clock},
                options, std::move(core), std::move(live)) {
    if (!options.safe_mode.empty()) return;
    tables_check_.emplace(parts_.folder.events_file(), parts_.events.tables(),
                          parts_.events.last_seq(),
                          [this](const std::string& why) { parts_.events.make_tables_anew(why); });
  }

  Status run() override {
    if (parts_.mirror) parts_.mirror->begin([this] { server_.stop(); });
    Status ended = server_.run();
    std::error_code ignored;
    if (!parts_.targets_file.empty()) fs::remove(parts_.targets_file, ignored);
    fs::remove(parts_.folder.address_file(), ignored);
    if (!parts_.shared_address_file
             .empty()) {  // another coordinator may have taken our place there
      const auto there = link::read_address_file(parts_.shared_address_file);
      if (there && *there == parts_.announced) fs::remove(parts_.shared_address_file, ignored);
    }
    if (!parts_.mirror) return ended;
    const Status mirrored = parts_.mirror->finish();
    return ended ? mirrored : ended;
  }
  void stop() override { server_.stop(); }
  fs::path address_file() const override { return parts_.folder.address_file(); }
  void limit_event_pages(std::int64_t pages) override { server_.limit_event_pages(pages); }
  void limit_tables(std::int64_t pages, std::size_t events) override {
    parts_.events.limit_tables(pages, events);
  }

 private:
  Parts parts_;
  QueryService queries_;
  Heartbeats heartbeats_;
  Server server_;
  std::optional<TablesCheck> tables_check_;
};

// By the marker workers know that they look at the same folder as we do.
Status mark_artifact_folder(const fs::path& folder, const std::string& coordinator_id) {
  const fs::path marker = folder / artifact_folder_marker(coordinator_id);
  STRATA_CHECK_OK(make_folder(marker.parent_path()));
  return write_file_atomic(marker, "a coordinator keeps its artifacts in this folder\n");
}

Status announce(Parts& parts, const ServiceOptions& options, const CurveKeys& keys) {
  STRATA_CHECK_OK(
      write_file_atomic(parts.folder.path() / "last_address", parts.socket.address(), 0600));
  const std::string address =
      advertised_address(parts.socket.address(), options.advertise, host_name());
  parts.announced = {.address = address,
                     .public_key = keys.public_key,
                     .pid = getpid(),
                     .coordinator = parts.events.coordinator_id(),
                     .metrics_address = parts.exporter ? parts.exporter->address() : std::string()};
  STRATA_CHECK_OK(link::write_address_file(parts.folder.address_file(), parts.announced));
  if (!options.targets_file.empty()) {
    parts.targets_file = fs::absolute(options.targets_file);
    // Prometheus is another user, and there is no secret in it.
    STRATA_CHECK_OK(write_file_atomic(
        parts.targets_file,
        targets_text(parts.announced.metrics_address, options.advertise, host_name()), 0644));
  }
  if (options.address_file.empty()) return {};
  parts.shared_address_file = fs::absolute(options.address_file);
  STRATA_CHECK_OK(make_folder(parts.shared_address_file.parent_path()));
  return link::write_address_file(parts.shared_address_file, parts.announced);
}

}  // namespace

std::string advertised_address(const std::string& bound, const std::string& advertise,
                               const std::string& host) {
  constexpr std::string_view kScheme = "tcp://";
  if (!bound.starts_with(kScheme)) return bound;
  const std::string port = bound.substr(bound.rfind(':'));
  if (!advertise.empty()) return std::string(kScheme) + advertise + port;
  const bool everywhere = bound.starts_with("tcp://0.0.0.0:") || bound.starts_with("tcp://[::]:") ||
                          bound.starts_with("tcp://*:");
  return everywhere ? std::string(kScheme) + host + port : bound;
}

std::string targets_text(const std::string& metrics_address, const std::string& advertise,
                         const std::string& host) {
  if (metrics_address.empty()) return "[]\n";
  constexpr std::string_view kScheme = "tcp://";
  const bool local = is_loopback(std::string(kScheme) + metrics_address);
  const std::string reached =
      local ? metrics_address
            : advertised_address(std::string(kScheme) + metrics_address, advertise, host)
                  .substr(kScheme.size());
  return to_canonical_json(Array{Object{{"targets", Array{reached}}, {"labels", Object{}}}}) + "\n";
}

namespace {

MirroredStore mirrored_store(const StoreFolder& folder, const std::string& coordinator) {
  return {.events_file = folder.events_file(),
          .metrics_file = folder.metrics_file(),
          .keys_file = folder.keys_file(),
          .coordinator = coordinator};
}

// A mirror that is marked as whole and that this store goes on without: restored later, it would
// give numbers of attempts a second time. So the mark is taken from it.
Status leave_behind(const fs::path& left, const StoreFolder& folder,
                    const std::string& coordinator) {
  const Status done = leave_mirror(MirrorFolder(left), mirrored_store(folder, coordinator));
  if (!done) {
    return fail(done.error().code,
                "the store {} was mirrored in {}, and going on without it is refused: {}. Start "
                "with --mirror {}, or, if nobody will ever go on from that mirror, remove {}",
                folder.path().string(), left.string(), done.error().message, left.string(),
                folder.mirrored_file().string());
  }
  log_warning("coordinator", "the mirror {} is left behind: this store goes on without it",
              left.string());
  return {};
}

// Where the mirror is to be kept; empty: nowhere. Every other one is left behind.
Result<fs::path> choose_mirror(const ServiceOptions& options, const StoreFolder& folder,
                               const std::string& coordinator) {
  const auto whole_path = [](const fs::path& path) {
    return path.empty() ? fs::path() : fs::absolute(path).lexically_normal();
  };
  fs::path where = whole_path(options.mirror);
  std::set<fs::path> left;
  if (!options.restore.empty() && !is_backup(options.restore)) {
    if (where.empty()) where = whole_path(options.restore);
    left.insert(whole_path(options.restore));
  }
  if (const auto last = read_file(folder.mirrored_file()); last && !last->empty())
    left.insert(fs::path(*last));
  left.erase(where);
  for (const fs::path& one : left) STRATA_CHECK_OK(leave_behind(one, folder, coordinator));
  return where;
}

bool on_one_file_system(const fs::path& one, const fs::path& other) {
  struct stat first {};
  struct stat second {};
  return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev;
}

Result<std::unique_ptr<Mirror>> take_up_mirror(const ServiceOptions& options,
                                               const StoreFolder& folder,
                                               const std::string& coordinator) {
  STRATA_TRY(const fs::path where, choose_mirror(options, folder, coordinator));
  std::error_code ignored;
  if (where.empty()) {
    fs::remove(folder.mirrored_file(), ignored);
    return std::unique_ptr<Mirror>();
  }
  STRATA_TRY([[maybe_unused]] const CurveKeys keys, folder.keys());  // they are mirrored, too
  STRATA_TRY(auto mirror, Mirror::open({.folder = where, .every = options.mirror_every},
                                       mirrored_store(folder, coordinator)));
  STRATA_CHECK_OK(write_file_atomic(folder.mirrored_file(), where.string(), 0600));
  if (on_one_file_system(where, folder.path())) {
    log_warning("coordinator",
                "the mirror {} lies on the file system of the store, and is lost with it",
                where.string());
  }
  log_info("coordinator", "mirror {}: up to event {}, every {} s", where.string(),
           mirror->status().last_seq, mirror->status().every_seconds);
  return mirror;
}

Status restore(const ServiceOptions& options, const StoreFolder& folder) {
  if (options.restore.empty()) return {};
  STRATA_TRY(const Restored restored, restore_store(folder, options.restore));
  if (!restored.copied) {
    log_info("coordinator", "the store holds all that {} has", options.restore.string());
    return {};
  }
  log_info(
      "coordinator", "restored {} events from {}{}{}", restored.events, options.restore.string(),
      restored.whole ? "" : "; what was acknowledged after them is lost, submit those sweeps again",
      restored.replaced.empty() ? "" : "; the older store is in " + restored.replaced);
  return {};
}

}  // namespace

Result<std::unique_ptr<Service>> Service::start(ServiceOptions options) {
  STRATA_TRY(StoreFolder folder,
             StoreFolder::open(options.store, options.force_network_filesystem));
  if (is_backup(folder.path())) {  // it would give numbers of attempts a second time
    return fail(
        ErrorCode::kConflict,
        "{} is a backup: start with --restore {} and another --store, which is made from it",
        folder.path().string(), folder.path().string());
  }
  STRATA_CHECK_OK(restore(options, folder));
  if (options.artifacts.empty()) options.artifacts = folder.path() / "artifacts";
  options.artifacts = fs::absolute(options.artifacts);
  LiveView live;
  STRATA_TRY(OpenStores stores, open_stores(folder, [&](const Event& event) { live.note(event); }));
  EventStore& events = stores.events;
  STRATA_CHECK_OK(mark_artifact_folder(options.artifacts, events.coordinator_id()));
  ServerOptions server_options{
      .build = options.build, .safe_mode = stores.safe_mode, .peers_max = options.peers_max};
  STRATA_TRY(const CurveKeys keys, folder.keys());
  STRATA_TRY(RouterSocket socket,
             bind_where_we_were(options.bind, folder.path() / "last_address", keys));
  STRATA_TRY(WakeUp wake, WakeUp::make());
  STRATA_TRY(
      RouterSocket heartbeat_socket,
      bind_where_we_were(heartbeat_bind(options), folder.path() / "last_heartbeat_address", keys));
  STRATA_CHECK_OK(write_file_atomic(folder.path() / "last_heartbeat_address",
                                    heartbeat_socket.address(), 0600));
  STRATA_TRY(WakeUp heartbeat_wake, WakeUp::make());
  std::optional<Exporter> exporter;
  if (!options.metrics.empty()) {
    STRATA_TRY(exporter, Exporter::open(options.metrics));
  }
  STRATA_TRY(Query query, Query::open(stores.events_file, stores.metrics_file, stores.tables_file));
  // After all that may keep this start from becoming a life.
  std::unique_ptr<Mirror> mirror;
  if (!stores.safe_mode.empty()) {  // it may hold what is damaged here: nothing of it is touched
    if (!options.mirror.empty()) log_warning("coordinator", "the mirror is left as it is");
  } else {
    STRATA_TRY(mirror, take_up_mirror(options, folder, events.coordinator_id()));
  }
  const SystemClock clock;
  options.core.coordinator_id = events.coordinator_id();
  options.core.artifact_folder = options.artifacts.string();
  options.core.heartbeat_address =
      advertised_address(heartbeat_socket.address(), options.advertise, host_name());
  const ServerFacts facts{.coordinator = events.coordinator_id(),
                          .build = options.build,
                          .started_ms = clock.wall().unix_ms,
                          .artifact_folder = options.core.artifact_folder,
                          .mirror = mirror.get(),
                          .plans = std::make_shared<PlanBook>()};
  log_info("coordinator", "store {}: {} events, {} tasks, {} sweeps", folder.path().string(),
           stores.replayed.events, stores.replayed.cluster.tasks().size(),
           stores.replayed.cluster.sweeps().size());
  Parts parts{.folder = std::move(folder),
              .events = std::move(events),
              .metrics = std::move(stores.metrics),
              .socket = std::move(socket),
              .wake = std::move(wake),
              .heartbeat_socket = std::move(heartbeat_socket),
              .heartbeat_wake = std::move(heartbeat_wake),
              .exporter = std::move(exporter),
              .mirror = std::move(mirror)};
  STRATA_CHECK_OK(announce(parts, options, keys));
  log_info("coordinator", "listens on {}, metrics on {}, artifacts in {}", parts.socket.address(),
           parts.exporter ? parts.exporter->address() : "nothing", options.core.artifact_folder);
  Core core(options.core, std::move(stores.replayed.cluster), clock.now());
  return std::make_unique<RealService>(std::move(parts), std::move(query), facts, server_options,
                                       std::move(core), std::move(live));
}

}  // namespace strata::coordinator

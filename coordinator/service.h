// A whole coordinator, put together in the order in which it may be taken apart: store folder
// (lock), stores, sockets, query thread, exporter, server. What main() and the tests start.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "coordinator/core/core.h"
#include "coordinator/mirror.h"
#include "coordinator/peers.h"

namespace strata::coordinator {

struct ServiceOptions {
  std::filesystem::path store{};
  std::filesystem::path artifacts{};       // empty: STORE/artifacts
  std::string bind = "tcp://127.0.0.1:0";  // port 0: the one of the last time, or else any
  std::string advertise{};  // host that others reach us by; empty: the bound one, or our host name
  int heartbeat_port = 0;   // on the interface of `bind`; 0: that of the last time, or any
  std::string metrics = "127.0.0.1:0";   // empty: no exporter
  std::filesystem::path address_file{};  // a second coordinator.json, in a folder that other
                                         // machines see; empty: none
  // A JSON file that names the metrics' address, for Prometheus' file_sd; empty: none.
  std::filesystem::path targets_file{};
  std::filesystem::path mirror{};  // folder that is kept up to date with the store; empty: none
  std::chrono::milliseconds mirror_every = kMirrorEvery;
  // The mirror from which the store is made before it is opened, and which is kept up to date from
  // then on unless `mirror` names another; empty: none.
  std::filesystem::path restore{};
  bool force_network_filesystem = false;
  std::string build{};
  std::size_t peers_max = kPeersMax;  // for tests
  Options core{};                     // coordinator_id and artifact_folder are filled in
};

class Service {
 public:
  // Replays the log, binds, and writes coordinator.json: from then on workers find it.
  static Result<std::unique_ptr<Service>> start(ServiceOptions options);
  virtual ~Service() = default;

  // Until stop(); then coordinator.json is removed, and the second one where it is still ours, and
  // the mirror is marked as whole. Also ends, with an error, when another coordinator has taken the
  // mirror up.
  [[nodiscard]] virtual Status run() = 0;
  virtual void stop() = 0;  // any thread, also a signal handler
  [[nodiscard]] virtual std::filesystem::path address_file() const = 0;
  // For tests of a full disk.
  virtual void limit_event_pages(std::int64_t pages) = 0;  // any thread; from the next commit on
  virtual void limit_tables(std::int64_t pages, std::size_t events) = 0;  // any thread
};

// "tcp://gpu-01:4000" for a socket bound to tcp://0.0.0.0:4000 and so on.
[[nodiscard]] std::string advertised_address(const std::string& bound, const std::string& advertise,
                                             const std::string& host);

// What Prometheus' file_sd reads; a metrics address that is bound everywhere is reached by the
// host's name.
[[nodiscard]] std::string targets_text(const std::string& metrics_address,
                                       const std::string& advertise, const std::string& host);

}  // namespace strata::coordinator

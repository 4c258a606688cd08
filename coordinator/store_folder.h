// The folder that holds a coordinator's store:
//
//   lock               held with flock by the one coordinator that lives here; says who
//   events.sqlite      the event log; beside it its newest event ("-tip", store_tip.h) and the
//                      store's name ("-name", store_name.h)
//   tables.sqlite      what is derived from it (projector.h)
//   metrics.sqlite     metric points, and how many transactions they are ("-tip")
//   keys.json          the CURVE key pair, mode 0600; kept, so that workers find the coordinator
//                      again after a restart
//   coordinator.json   where it listens (link/address_file.h)
//
// docs/store.md lists the rest.
//
// SQLite must not live on a network file system, where its locks and its log are not safe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "base/files.h"
#include "base/zmq/socket.h"

namespace strata::coordinator {

// "NFS", "Lustre", ... for statfs's f_type; null for one on which a store may live.
[[nodiscard]] const char* network_filesystem(std::int64_t type);

class StoreFolder {
 public:
  // Makes the folder (mode 0700) and takes the lock. kConflict names the holder; kUnsupported names
  // the file system.
  static Result<StoreFolder> open(const std::filesystem::path& path, bool force_network_filesystem);

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path events_file() const { return path_ / "events.sqlite"; }
  [[nodiscard]] std::filesystem::path metrics_file() const { return path_ / "metrics.sqlite"; }
  [[nodiscard]] std::filesystem::path keys_file() const { return path_ / "keys.json"; }
  [[nodiscard]] std::filesystem::path address_file() const;
  // Names the folder in which the last coordinator kept the mirror of this store; not there: none.
  [[nodiscard]] std::filesystem::path mirrored_file() const { return path_ / "mirrored-in"; }

  // Read, or made at the first start.
  [[nodiscard]] Result<CurveKeys> keys() const;

 private:
  StoreFolder(std::filesystem::path path, FileDescriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  std::filesystem::path path_;
  FileDescriptor lock_;
};

}  // namespace strata::coordinator

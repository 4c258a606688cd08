// The frozen code of tasks, laid out from the artifact store below the worker's own folder, once
// for each content: CODE/<hash>/. It appears whole or not at all, is read-only, and stays for the
// attempts to come; when there are too many, those that nobody uses go, the longest unused first.
//
// Thread rule: any thread; one lays out at a time.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "link/artifact_store.h"
#include "schema/event.h"

namespace strata::worker {

inline constexpr std::size_t kCodeFoldersKept = 32;

class CodeCache {
 public:
  explicit CodeCache(std::filesystem::path folder, std::size_t kept = kCodeFoldersKept)
      : folder_(std::move(folder)), kept_(kept) {}

  // Where the code lies; it stays at least until the attempt is released. kNotFound, kDamaged: the
  // store has it no more.
  [[nodiscard]] Result<std::filesystem::path> lay_out(const link::ArtifactStore& store,
                                                      const ContentHash& hash,
                                                      const AttemptId& attempt);
  void release(const AttemptId& attempt);

 private:
  [[nodiscard]] bool is_whole(const link::ArtifactStore& store, const ContentHash& hash,
                              const std::filesystem::path& place) const;
  void remove_surplus();

  std::filesystem::path folder_;
  std::size_t kept_;
  std::mutex mutex_;
  std::map<AttemptId, std::string> users_;  // guarded: the hashes that attempts hold
};

// The command with the place of its code filled in.
[[nodiscard]] std::vector<std::string> command_in(std::vector<std::string> argv,
                                                  const std::filesystem::path& code);

}  // namespace strata::worker

// The folder of one attempt, `<worker folder>/attempts/<first 16 digits of the task>-<number>/`:
//
//   spec.json       what the program reads (docs/stages.md)
//   log.txt         its standard output and error
//   progress.jsonl  what it reports
//   out/NAME        its outputs, until they are moved into the artifact store; no out/ where none
//                   is declared
//   scores.json, recorded.json, checkpoints: as the program writes them
//
// Folders are kept, the newest `kept` of them, so that people can read logs. The oldest one becomes
// the folder of the next attempt where nothing but spec and log is in it: on a disk, to remove and
// make them takes longer than everything else that a worker does for a short attempt.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "schema/message.h"

namespace strata::worker {

inline constexpr std::size_t kEndedFoldersKept = 200;

class RunDirectory {
 public:
  RunDirectory(const std::filesystem::path& attempts, const AttemptId& attempt);

  // Empty but for out/, where `outputs` are to be. What an earlier life left under this name is
  // removed.
  [[nodiscard]] Status create(bool outputs) const;
  // The same for an attempt without outputs, out of a folder that is not needed any more. False:
  // there is more in it than spec and log, or they are not what we made; it is as it was.
  [[nodiscard]] bool take_over(const std::filesystem::path& old) const;

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path spec_file() const { return folder_ / "spec.json"; }
  [[nodiscard]] std::filesystem::path log_file() const { return folder_ / "log.txt"; }
  [[nodiscard]] std::filesystem::path progress_file() const { return folder_ / "progress.jsonl"; }
  [[nodiscard]] std::filesystem::path scores_file() const { return folder_ / "scores.json"; }
  [[nodiscard]] std::filesystem::path recorded_file() const { return folder_ / "recorded.json"; }
  [[nodiscard]] std::filesystem::path output(const std::string& name) const {
    return folder_ / "out" / name;
  }
  // The folder that a progress line names. An error unless it lies below the attempt folder.
  [[nodiscard]] Result<std::filesystem::path> below(const std::string& relative) const;

 private:
  std::filesystem::path folder_;
};

// The text of spec.json.
struct SpecPaths {
  std::map<std::string, std::filesystem::path> inputs{};
  std::optional<std::filesystem::path> resume{};
  std::filesystem::path models{};
};
[[nodiscard]] std::string stage_spec_text(const StartAttempt& order, const RunDirectory& directory,
                                          const SpecPaths& paths);

inline constexpr std::size_t kLogLineMax = 400;
// At most `kLogLineMax` bytes of a line of a log, as UTF-8. Secrets are taken out before: half of
// one is still half of one.
[[nodiscard]] std::string clipped(std::string_view line);

// Which folders of ended attempts may go.
class EndedFolders {
 public:
  // Takes up what is there, oldest first by the time at which they began.
  EndedFolders(const std::filesystem::path& attempts, std::size_t kept);
  void add(const std::filesystem::path& folder);
  // An attempt begins in this folder: it is none of an ended one any more.
  void keep(const std::filesystem::path& folder);
  // The oldest ones beyond the number kept; the caller removes them.
  [[nodiscard]] std::vector<std::filesystem::path> take_surplus();
  // The oldest one, when there would be too many once those of `running` attempts are added.
  [[nodiscard]] std::optional<std::filesystem::path> take_oldest(std::size_t running);

 private:
  std::filesystem::path attempts_;
  std::deque<std::string> names_;
  std::size_t kept_;
};

}  // namespace strata::worker

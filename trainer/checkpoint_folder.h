// The checkpoints of a run: a folder with one folder for each, named by its update in eight digits.
// Which one is gone on from, and which ones are kept.
//
//   00000200/             checkpoint.h
//   .removed-00000100/    no longer kept; its bytes go with the next save, or at the end
//   .writing-, .replaced- checkpoint.h
#pragma once

#include <optional>
#include <vector>

#include "base/clock.h"
#include "trainer/checkpoint.h"

namespace strata::trainer {

inline constexpr std::string_view kRemovedPrefix = ".removed-";
// Two at least: the newest may turn out torn, and an older one may be under somebody's hands.
inline constexpr std::int64_t kKeepLastMin = 2;
// Who was told of a checkpoint has so long to copy it before it may be removed.
inline constexpr std::chrono::minutes kCopyPatience{10};

struct FoundCheckpoint {
  std::filesystem::path folder{};
  std::int64_t update = 0;
};
// Newest first, torn ones too. Where a kill came between two renames, what stands in for the one
// that it took. Empty where the folder is not there.
[[nodiscard]] Result<std::vector<FoundCheckpoint>> list_checkpoints(
    const std::filesystem::path& folder);

struct ChosenCheckpoint {
  std::filesystem::path folder{};
  CheckpointDescription description{};
  TrainingState state{};
};
// `from` is one checkpoint, or a folder of checkpoints: then the newest that is whole; the log says
// of each newer one why it was passed over. Those of another recipe are not passed over but
// refused: they are somebody else's. Without `recipe` any is taken.
// kNotFound where there is none, kDamaged where none is whole.
[[nodiscard]] Result<ChosenCheckpoint> choose_checkpoint(const std::filesystem::path& from,
                                                         const std::optional<Value>& recipe);

// What is kept: the union of three.
struct KeepPolicy {
  std::int64_t last = 0;   // the newest so many; 0: all are kept, whatever the others say
  std::int64_t every = 0;  // whose update is a multiple of it; 0: none
  std::int64_t best = 0;   // so many with the best `metric` among those at which it was measured
  std::string metric = "validation_loss";
  bool higher_is_better = false;
};
struct KnownCheckpoint {
  std::int64_t update = 0;
  std::optional<double> metric{};
  bool in_use = false;  // somebody may be copying it
};
// The updates that `policy` does not keep, ascending. Of equal metrics the earlier update is
// better.
[[nodiscard]] std::vector<std::int64_t> not_kept(const KeepPolicy& policy,
                                                 std::vector<KnownCheckpoint> known);

// Writes the checkpoints of one run and removes what its policy does not keep. Checkpoints of later
// updates than the newest written here are another life's: they are left alone until this run
// reaches and replaces them.
class CheckpointFolder {
 public:
  // `copied`: each is announced to somebody who copies it (a worker); see kCopyPatience.
  // `clock` outlives it.
  CheckpointFolder(std::filesystem::path folder, Value recipe, Value describes, KeepPolicy policy,
                   bool copied, const Clock& clock);

  // Gives the checkpoint's folder.
  [[nodiscard]] Result<std::filesystem::path> save(const TrainingState& state,
                                                   const std::map<std::string, double>& metrics);
  // After the newest was announced. What cannot be removed is said in the log and stays.
  void keep_to_policy();
  // Frees the disk of what is no longer kept.
  void clean_up() const;

 private:
  [[nodiscard]] std::optional<double> metric_of(const FoundCheckpoint& found);

  std::filesystem::path folder_;
  Value recipe_;
  Value describes_;
  KeepPolicy policy_;
  bool copied_;
  const Clock& clock_;
  std::int64_t newest_ = -1;
  std::map<std::int64_t, Instant> saved_at_{};               // of this life
  std::map<std::int64_t, std::optional<double>> metrics_{};  // by update, as far as asked for
};

}  // namespace strata::trainer

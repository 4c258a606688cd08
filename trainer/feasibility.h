// Can this training work, and does it mean something? Told before it begins, from manifest,
// vocabulary, index of the features, parameters and the machine's memory: no recording is decoded.
//
// kind                    level    an item counts where
//   no_text                 error    its text is empty
//   too_short               error    the front end makes no mel of it
//   missing_recording       error    its file is not there
//   missing_features        error    the features hold nothing of it
//   other_recording         error    its features are those of another recording (its hash)
//   damaged_features        error    their shard does not hold what the index says
//   rejected_features       warning  it is trained on and `extract` rejected it: it is left out
//   teacher_frames          warning  its features are kTeacherFramesShare off its length
//   unknown_tokens          warning  its text holds what the vocabulary lacks
//   text_longer_than_mel    warning  its text has more tokens than its mel frames: the rest is cut
//   ctc_infeasible          warning  the text head has fewer steps than the text needs: its text
//                                    loss counts 0; error where that is so of every item
//   unusual_length          warning  it is outside of what the reference trains on
//   longer_than_batch       warning  it alone has more frames than train.batch_frames: left out;
//                                    error where that is so of every item
//   too_few_items           error    (of the corpus) there are fewer than train.batch
//   too_few_heldout         error    (of the corpus) there are fewer than 2 held-out items
//   batch_without_rank      error    (a batch) has fewer utterances than there are ranks
//   memory                  warning  (a rank) the estimate is more than is available; error where
//                                    weights and optimizer alone are more than the machine has.
//                                    `train` takes it for a warning: another machine may do
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/value.h"
#include "trainer/machine_memory.h"
#include "trainer/memory_estimate.h"
#include "trainer/train_config.h"

namespace strata::trainer {

inline constexpr std::size_t kExamplesMax = 5;
inline constexpr const char* kRejectedFeatures = "rejected_features";
inline constexpr const char* kMemory = "memory";
// Teacher frames may be off the teacher's rate by this many, and by this share.
inline constexpr double kTeacherFramesOff = 2;
inline constexpr double kTeacherFramesShare = 0.02;
// Seconds that the reference trains on (F5-TTS, dataset.py).
inline constexpr double kShortestUsual = 0.3;
inline constexpr double kLongestUsual = 30;

enum class Level { kWarning, kError };

struct FindingExample {
  std::string id{};
  std::string detail{};  // may be empty
};

struct Finding {
  std::string kind{};
  Level level = Level::kWarning;
  std::string what{};  // "training items have ..."
  std::int64_t count = 0;
  std::int64_t of = 0;
  std::vector<FindingExample> examples{};  // the first ones, by id
  std::string advice{};
};

// The order of the utterances, and the batch that costs most.
struct BatchFacts {
  std::int64_t an_epoch = 0;          // batches
  std::int64_t fewest = 0, most = 0;  // utterances of one
  ForwardShape costliest{};           // what one rank takes of it at once
};

struct Feasibility {
  std::filesystem::path corpus{};
  std::int64_t train = 0, heldout = 0;  // items
  double train_hours = 0, heldout_hours = 0;
  std::int64_t vocabulary = 0;
  int ranks = 1, ranks_here = 1;
  std::optional<BatchFacts> batches{};  // where there are any
  std::optional<MemoryEstimate> memory{};
  MachineMemory machine{};
  double corpus_bytes = 0;          // of all mels and features
  std::vector<Finding> findings{};  // errors first

  [[nodiscard]] std::int64_t errors() const;
};

struct FeasibilityOptions {
  int ranks = 1;
  int ranks_here = 1;         // of them on this machine
  bool look_at_files = true;  // whether every recording is there
  MachineMemory machine{};
  // Bytes of mels and features that a rank may hold, where the parameters do not say it.
  std::int64_t corpus_room = kDatasetBytesMax;
};

// An error is what makes a check impossible: a corpus, features or parameters that cannot be read.
[[nodiscard]] Result<Feasibility> check_feasibility(const StageSpec& spec,
                                                    const TrainConfig& config,
                                                    const FeasibilityOptions& options);

// In one line, for the log.
[[nodiscard]] std::string describe(const Finding& finding);
// "3.51 GiB".
[[nodiscard]] std::string memory_text(double bytes);
[[nodiscard]] Value to_value(const Feasibility& feasibility);
// For people, in aligned lines.
[[nodiscard]] std::string to_text(const Feasibility& feasibility);
// All errors in one: kInvalid. Nothing where there are none.
[[nodiscard]] Status refuse_infeasible(const Feasibility& feasibility);

}  // namespace strata::trainer

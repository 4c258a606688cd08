// Judges that are exported archives (base/torch/archive.h). Opening one runs its self-test and a
// sanity check: a MOS model that does not hear noise, or an embedding that is the same for
// everything, is refused before it can fill a table.
#pragma once

#include "evaluator/judge.h"
#include "evaluator/score_spec.h"

namespace strata::evaluator {

// Windows that go through the recognizer at once; tokens do not depend on it (a test says so).
inline constexpr std::size_t kAsrBatchMax = 8;

[[nodiscard]] Result<std::unique_ptr<AsrJudge>> open_asr_judge(const std::filesystem::path& archive,
                                                               const std::string& identity);
[[nodiscard]] Result<std::unique_ptr<SpeakerJudge>> open_speaker_judge(
    const std::filesystem::path& archive, const std::string& identity);
[[nodiscard]] Result<std::unique_ptr<MosJudge>> open_mos_judge(const std::filesystem::path& archive,
                                                               const std::string& identity);

// The judges that the spec names, from its models folder.
[[nodiscard]] Result<Judges> open_judges(const ScoreSpec& spec);

// Loads it as what it says it is and runs its self-test; judges get their sanity check too. False
// for a model that is no judge (a teacher, a vocoder), which has none.
[[nodiscard]] Result<bool> verify_judge(const std::filesystem::path& archive);

[[nodiscard]] std::string libtorch_version();

}  // namespace strata::evaluator

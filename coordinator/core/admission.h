// What comes from outside is bounded and is text before it becomes an event: an event that could
// not be written, or a reason that nobody could print, would otherwise stand in the log for ever.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "schema/message.h"

namespace strata::coordinator {

inline constexpr std::size_t kNameBytesMax = 256;  // of a worker, a build, a label, a stage
inline constexpr std::size_t kLabelsMax = 64;      // of a worker or of a stage
inline constexpr std::size_t kReasonBytesMax = 4'096;
inline constexpr std::size_t kRecordedMax = 64;  // facts that an attempt records beside its result
inline constexpr std::int64_t kPriorityMax = 1'000'000;
inline constexpr std::int64_t kLeaseMsMax = 30LL * 24 * 3600 * 1000;  // a month
inline constexpr std::int64_t kMemoryMbMax = 1LL << 40U;
inline constexpr std::int64_t kWeightMax = 1'000;
inline constexpr std::size_t kRungsMax = 64;  // of a search
inline constexpr std::int64_t kReductionMax = 1'000;
inline constexpr std::size_t kFallbacksMax = 16;
inline constexpr std::size_t kLogRulesMax = 256;  // of one task, with names and patterns that fit
inline constexpr std::int64_t kLifetimeMsMax = 10LL * 365 * 24 * 3600 * 1000;
inline constexpr std::int64_t kCountMax = 1'000'000;  // of slots, ranks, threads, retries

// Not empty, UTF-8, at most kNameBytesMax.
[[nodiscard]] bool is_name(std::string_view text);
// A name that becomes a file of the worker's: never a way out of the attempt's folder.
[[nodiscard]] bool is_plain_name(std::string_view name);
// At most kReasonBytesMax of it, every bad byte replaced.
[[nodiscard]] std::string for_people(std::string_view text);

// An error says what is wrong with it.
[[nodiscard]] Status check_hello(const Hello& hello);
// The parts of a task that stand for themselves; what it takes from others is the core's business.
[[nodiscard]] Status check_task(const TaskSpec& task);
[[nodiscard]] Status check_run(const RunSpec& run);
[[nodiscard]] Status check_options(const SweepOptions& options);

// Of bytes and files of an artifact: sums of them stay numbers.
inline constexpr std::int64_t kArtifactSizeMax = std::int64_t{1} << 50U;
[[nodiscard]] ArtifactRef admitted(ArtifactRef ref);

// The outcome with reasons for people, and of what it made only what the task declares: every
// output that is missing makes it Failed{kUser}.
[[nodiscard]] Outcome admitted(Outcome outcome, const std::vector<std::string>& outputs,
                               const std::vector<TaskInput>& inputs);

}  // namespace strata::coordinator

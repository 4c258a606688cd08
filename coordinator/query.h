// Answers questions from the tables of the store, on a connection that can only read: the verbs of
// docs/requests.md that are not *control*. kDamaged for content that was never stored so. A
// question that takes longer than kQueryTimeMax is given up, so that a forgotten one cannot keep
// the log from being shortened.
//
// Thread rule: one thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

#include "base/value.h"
#include "coordinator/mirror.h"

namespace strata::coordinator {

inline constexpr std::chrono::seconds kQueryTimeMax{20};
inline constexpr std::size_t kRowsMax = 200'000;  // of one answer
// At the start; in a store with more, the first search reads them (half a second for each 10,000).
inline constexpr std::size_t kRunsReadBeforehandMax = 50'000;
// Finished attempts of a program from which `plan` estimates, the newest.
inline constexpr std::int64_t kHistoryRows = 100;

class PlanBook;

// What is true of the server beside its tables.
struct ServerFacts {
  std::string coordinator{};
  std::string build{};
  std::int64_t started_ms = 0;
  std::string dispatch = "running";  // or "paused: why"
  std::string behind{};              // why the tables do not hold all of the log; or empty
  std::string artifact_folder{};
  const Mirror* mirror = nullptr;     // may be null; outlives whoever asks
  std::shared_ptr<PlanBook> plans{};  // may be null
};

class QueryReader;

class Query {
 public:
  // REQUIRES: all of them exist and are migrated. `tables` empty: those beside the log.
  static Result<Query> open(const std::filesystem::path& events_file,
                            const std::filesystem::path& metrics_file,
                            const std::filesystem::path& tables = {});
  ~Query();
  Query(Query&&) noexcept;
  Query& operator=(Query&&) noexcept;

  // Reads the index for searches beforehand, so that the first one does not wait for it. Nothing is
  // lost where it fails.
  void warm();

  [[nodiscard]] static bool knows(const std::string& verb);
  // `body` is JSON; the answer is that of docs/requests.md.
  [[nodiscard]] Result<Value> answer(const std::string& verb, const std::string& body,
                                     const ServerFacts& facts);

 private:
  explicit Query(std::unique_ptr<QueryReader> reader);
  std::unique_ptr<QueryReader> reader_;
};

}  // namespace strata::coordinator

// The command's one way to the coordinator. Everything else here works on answers.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/value.h"
#include "link/address_file.h"
#include "schema/message.h"

namespace strata::cli {

inline constexpr std::chrono::milliseconds kAnswerPatience{30'000};
// Of one on this machine whose process is not to be seen: it has died, or lives in a container.
inline constexpr std::chrono::milliseconds kGonePatience{3'000};

// Batches of a submission that are sent and not yet answered.
inline constexpr std::size_t kBatchesUnderWayMax = 2;

class Client {
 public:
  virtual ~Client() = default;
  // The answer's body. An answer that is not ok is an error with the coordinator's own text and
  // kind.
  [[nodiscard]] virtual Result<Value> ask(const std::string& verb, const Value& body) = 0;
  [[nodiscard]] virtual Result<Value> submit(const SubmitTasks& batch) = 0;
  // All batches of a submission; their answers in the same order. Some are under way at once, so
  // that they share commits: all but the first, which decides whether there is a submission at all,
  // and the last, which says that nothing is missing. Ends at the first one that is refused.
  [[nodiscard]] virtual Result<std::vector<Value>> submit_all(
      const std::vector<SubmitTasks>& batches);
};

// `address_file` empty: $STRATA_COORDINATOR, else the store of `strata up`. Whether anybody answers
// shows at the first question.
[[nodiscard]] Result<std::unique_ptr<Client>> connect(const std::string& address_file);

[[nodiscard]] std::chrono::milliseconds patience_for(const link::AddressFile& file);

// kUnavailable, with how to start it again, when the process that the file names is not to be seen
// on this machine and nobody listens at its address. One that lives in a container does listen.
[[nodiscard]] Status check_alive(const link::AddressFile& file,
                                 const std::filesystem::path& address_file);

// The body of an answer: the value of one that is ok, else the error that it tells of.
[[nodiscard]] Result<Value> body_of(const Answer& answer);

}  // namespace strata::cli

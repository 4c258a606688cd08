// The thread that answers questions from the store, so that they never hold up the control loop.
// Its queue is bounded: a question that finds it full is answered at once with an error.
//
// Thread rule: submit(), take() and set_dispatch() are for the server's thread; the rest happens
// inside.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/zmq/socket.h"
#include "coordinator/core/core.h"
#include "coordinator/projector.h"
#include "coordinator/query.h"

namespace strata::coordinator {

inline constexpr std::size_t kQueriesWaitingMax = 256;
inline constexpr std::size_t kAnswersWaitingMax = 256;             // not yet taken by the server
inline constexpr std::chrono::milliseconds kStatusWaitMax{1'000};  // then it says how far they are
// Until the index for searches is read, which is when nobody asks anything.
inline constexpr std::chrono::milliseconds kWarmLookEvery{100};

class QueryService {
 public:
  // `wake` is signalled when an answer is ready, and outlives the service, as do `tables`: an
  // answer waits until they hold what was committed before its question; that of `status` comes
  // in any case, and says what they do not hold. Null: they are as they are.
  QueryService(Query query, ServerFacts facts, const WakeUp& wake, const Projector* tables);
  ~QueryService();  // unanswered questions are dropped; the one under way is finished
  QueryService(const QueryService&) = delete;
  QueryService& operator=(const QueryService&) = delete;

  // False: the queue is full.
  [[nodiscard]] bool submit(PeerId peer, Request request, std::uint64_t committed);
  [[nodiscard]] std::vector<Send> take();
  void set_dispatch(const std::string& dispatch);

 private:
  void work();
  [[nodiscard]] bool may_warm() const;
  struct Question {
    PeerId peer{};
    Request request{};
    std::uint64_t committed = 0;  // the newest event then
  };
  Result<Value> answer(const Question& question, ServerFacts facts);

  Query query_;
  const WakeUp& wake_;
  const Projector* tables_;
  std::mutex mutex_;
  std::condition_variable changed_;
  ServerFacts facts_;  // guarded, as all below
  std::deque<Question> questions_;
  std::vector<Send> answers_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace strata::coordinator

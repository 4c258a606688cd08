#include "coordinator/query_service.h"

#include "base/json.h"
#include "coordinator/peers.h"

namespace strata::coordinator {

QueryService::QueryService(Query query, ServerFacts facts, const WakeUp& wake,
                           const Projector* tables)
    : query_(std::move(query)),
      wake_(wake),
      tables_(tables),
      facts_(std::move(facts)),
      thread_([this] { work(); }) {}

QueryService::~QueryService() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool QueryService::submit(PeerId peer, Request request, std::uint64_t committed) {
  {
    const std::lock_guard lock(mutex_);
    if (questions_.size() >= kQueriesWaitingMax) return false;
    questions_.push_back({.peer = peer, .request = std::move(request), .committed = committed});
  }
  changed_.notify_all();
  return true;
}

std::vector<Send> QueryService::take() {
  std::vector<Send> taken;
  {
    const std::lock_guard lock(mutex_);
    taken.swap(answers_);
  }
  if (!taken.empty()) changed_.notify_all();  // there is room; else a turn of the loop wakes nobody
  return taken;
}

void QueryService::set_dispatch(const std::string& dispatch) {
  const std::lock_guard lock(mutex_);
  facts_.dispatch = dispatch;
}

Result<Value> QueryService::answer(const Question& question, ServerFacts facts) {
  if (tables_ != nullptr) {
    const bool status = question.request.verb == "status";
    const Status there =
        tables_->wait(question.committed, status ? kStatusWaitMax : kTablesWaitMax);
    if (!there && !status) return tl::unexpected(there.error());
    if (!there) facts.behind = there.error().message;
  }
  return query_.answer(question.request.verb, question.request.body, facts);
}

// True when nobody asks anything yet and the tables are what they will be.
bool QueryService::may_warm() const {
  return !ending_ && questions_.empty() && tables_ != nullptr && tables_->reached() > 0;
}

void QueryService::work() {
  bool warm = false;
  while (true) {
    Question question;
    ServerFacts facts;
    {
      std::unique_lock lock(mutex_);
      const auto something_to_do = [&] {
        return ending_ || (!questions_.empty() && answers_.size() < kAnswersWaitingMax);
      };
      while (!warm && !changed_.wait_for(lock, kWarmLookEvery, something_to_do)) {
        if (!may_warm()) continue;
        lock.unlock();
        query_.warm();
        lock.lock();
        warm = true;
      }
      changed_.wait(lock, something_to_do);
      if (ending_) return;
      question = std::move(questions_.front());
      questions_.pop_front();
      facts = facts_;
    }
    const auto value = answer(question, std::move(facts));
    Answer answer{.id = question.request.id, .ok = value.has_value()};
    answer.body = value ? to_canonical_json(*value) : error_body(value.error());
    {
      const std::lock_guard lock(mutex_);
      answers_.push_back({.to = question.peer, .message = std::move(answer)});
    }
    wake_.signal();
  }
}

}  // namespace strata::coordinator

#include "cli/client.h"

#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "base/json.h"
#include "cli/view.h"
#include "link/address_file.h"
#include "link/coordinator_link.h"

namespace strata::cli {

namespace {

ErrorCode code_of(const std::string& name) {
  if (name == "invalid") return ErrorCode::kInvalid;
  if (name == "not found") return ErrorCode::kNotFound;
  if (name == "conflict") return ErrorCode::kConflict;
  if (name == "unavailable") return ErrorCode::kUnavailable;
  if (name == "unsupported") return ErrorCode::kUnsupported;
  if (name == "too large") return ErrorCode::kTooLarge;
  return ErrorCode::kInternal;
}

class LinkClient final : public Client {
 public:
  LinkClient(link::CoordinatorLink line, std::chrono::milliseconds patience)
      : line_(std::move(line)), patience_(patience) {}

  Result<Value> ask(const std::string& verb, const Value& body) override {
    const auto answer = line_.ask(verb, to_canonical_json(body), patience_);
    if (answer) return body_of(*answer);
    // For whoever asks again: it may have been started elsewhere meanwhile.
    if (answer.error().code == ErrorCode::kUnavailable) (void)line_.refresh();
    return tl::unexpected(answer.error());
  }
  Result<Value> submit(const SubmitTasks& batch) override {
    STRATA_TRY(const Answer answer, line_.submit(batch, patience_));
    return body_of(answer);
  }

  Result<std::vector<Value>> submit_all(const std::vector<SubmitTasks>& batches) override {
    std::vector<Value> answers;
    const std::uint64_t first_id = next_batch_;
    next_batch_ += batches.size();
    const std::size_t last = batches.size() - 1;
    std::size_t sent = 0;
    while (answers.size() < batches.size()) {
      const std::size_t answered = answers.size();
      // The first alone, then some at once, then the last alone.
      const bool may_send =
          sent < batches.size() && (sent == answered || (answered > 0 && sent < last));
      if (may_send && sent - answered < kBatchesUnderWayMax) {
        SubmitTasks batch = batches[sent];
        batch.id = first_id + sent;
        STRATA_CHECK_OK(line_.send(batch));
        ++sent;
        continue;
      }
      STRATA_TRY(Value answer, answer_to(first_id + answered));
      answers.push_back(std::move(answer));
    }
    return answers;
  }

 private:
  Result<Value> answer_to(std::uint64_t id) {
    const auto until = std::chrono::steady_clock::now() + patience_;
    for (;;) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      STRATA_TRY(const auto message, line_.receive(std::max(left, std::chrono::milliseconds{0})));
      if (!message) {
        if (left > std::chrono::milliseconds{0}) continue;
        return fail(ErrorCode::kUnavailable,
                    "the coordinator does not answer: what of the submission has arrived stays; "
                    "submit again");
      }
      if (const auto* answer = std::get_if<Answer>(&*message);
          answer != nullptr && answer->id == id)
        return body_of(*answer);
      if (const auto* refused = std::get_if<Refused>(&*message))
        return fail(ErrorCode::kUnsupported, "{}", refused->reason);
    }
  }

  link::CoordinatorLink line_;
  std::chrono::milliseconds patience_;
  // Beyond the ids of single questions, and never used twice: late answers may still come.
  std::uint64_t next_batch_ = 1ULL << 32U;
};

}  // namespace

Result<std::vector<Value>> Client::submit_all(const std::vector<SubmitTasks>& batches) {
  std::vector<Value> answers;
  for (const SubmitTasks& batch : batches) {
    STRATA_TRY(Value answer, submit(batch));
    answers.push_back(std::move(answer));
  }
  return answers;
}

Result<Value> body_of(const Answer& answer) {
  auto parsed = parse_json(answer.body);
  if (!parsed)
    return tl::unexpected(parsed.error().while_doing("reading the coordinator's answer"));
  if (answer.ok) return std::move(*parsed);
  const std::string text = text_at(*parsed, "error", "the coordinator refused without a reason");
  return tl::unexpected(Error{code_of(text_at(*parsed, "code")), text});
}

std::chrono::milliseconds patience_for(const link::AddressFile& file) {
  const bool here = file.address.starts_with("tcp://127.0.0.1:");
  const bool gone = file.pid > 0 && ::kill(static_cast<pid_t>(file.pid), 0) != 0 && errno == ESRCH;
  return here && gone ? kGonePatience : kAnswerPatience;
}

Result<std::unique_ptr<Client>> connect(const std::string& address_file) {
  const std::filesystem::path path = link::find_address_file(address_file);
  STRATA_TRY(const link::AddressFile file, link::read_address_file(path));
  auto line = link::CoordinatorLink::open(path);
  if (!line) return tl::unexpected(line.error());
  return std::unique_ptr<Client>(
      std::make_unique<LinkClient>(std::move(*line), patience_for(file)));
}

}  // namespace strata::cli

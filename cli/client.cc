#include "cli/client.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/host.h"
#include "base/json.h"
#include "cli/up.h"
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
  LinkClient(link::CoordinatorLink line, std::filesystem::path address_file)
      : line_(std::move(line)),
        address_file_(std::move(address_file)),
        patience_(patience_for(line_.address())) {}

  Result<Value> ask(const std::string& verb, const Value& body) override {
    STRATA_CHECK_OK(look());
    const auto answer = line_.ask(verb, to_canonical_json(body), patience_);
    if (answer) return body_of(*answer);
    // For whoever asks again: it may have been started elsewhere meanwhile.
    if (answer.error().code == ErrorCode::kUnavailable) (void)line_.refresh();
    return tl::unexpected(answer.error());
  }
  Result<Value> submit(const SubmitTasks& batch) override {
    STRATA_CHECK_OK(look());
    STRATA_TRY(const Answer answer, line_.submit(batch, patience_));
    return body_of(answer);
  }

  Result<std::vector<Value>> submit_all(const std::vector<SubmitTasks>& batches) override {
    STRATA_CHECK_OK(look());
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
  // One that has died may have been started again elsewhere.
  Status look() {
    if (check_alive(line_.address(), address_file_)) return {};
    STRATA_TRY(const bool moved, line_.refresh());
    if (moved) patience_ = patience_for(line_.address());
    return check_alive(line_.address(), address_file_);
  }

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
  std::filesystem::path address_file_;
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

namespace {

constexpr std::string_view kLoopback = "tcp://127.0.0.1:";

// Of this machine. One that nobody has collected yet (a zombie) has ended, too; of somebody else's
// the start time may be hidden.
bool process_is_gone(const link::AddressFile& file) {
  if (!file.address.starts_with(kLoopback) || file.pid <= 0) return false;
  if (::kill(static_cast<pid_t>(file.pid), 0) != 0) return errno == ESRCH;
  return start_time_of(file.pid).empty();
}

bool nobody_listens(const link::AddressFile& file) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const char* begin = file.address.data() + kLoopback.size();
  std::uint16_t port = 0;
  if (std::from_chars(begin, file.address.data() + file.address.size(), port).ec != std::errc{})
    return false;
  address.sin_port = htons(port);
  const int probe = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool refused =
      ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno == ECONNREFUSED;
  ::close(probe);
  return refused;
}

}  // namespace

std::chrono::milliseconds patience_for(const link::AddressFile& file) {
  return process_is_gone(file) ? kGonePatience : kAnswerPatience;
}

Status check_alive(const link::AddressFile& file, const std::filesystem::path& address_file) {
  if (!process_is_gone(file) || !nobody_listens(file)) return {};
  std::error_code error;
  const bool ours = std::filesystem::exists(
      std::filesystem::absolute(address_file, error).parent_path() / kUpFileName, error);
  return fail(
      ErrorCode::kUnavailable,
      "the coordinator has ended, or is being started: there is no process {} any more, and "
      "nobody listens at {}. Start it again as it was started, {}",
      file.pid, file.address,
      ours ? "with `strata up` and the same options" : "with the same --store and options");
}

Result<std::unique_ptr<Client>> connect(const std::string& address_file) {
  const std::filesystem::path path = link::find_address_file(address_file);
  auto line = link::CoordinatorLink::open(path);
  if (!line) return tl::unexpected(line.error());
  return std::unique_ptr<Client>(std::make_unique<LinkClient>(std::move(*line), path));
}

}  // namespace strata::cli

#include "cli/client.h"

#include "base/json.h"
#include "cli/view.h"
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
  explicit LinkClient(link::CoordinatorLink line) : line_(std::move(line)) {}

  Result<Value> ask(const std::string& verb, const Value& body) override {
    STRATA_TRY(const Answer answer, line_.ask(verb, to_canonical_json(body), kAnswerPatience));
    return body_of(answer);
  }
  Result<Value> submit(const SubmitTasks& batch) override {
    STRATA_TRY(const Answer answer, line_.submit(batch, kAnswerPatience));
    return body_of(answer);
  }

 private:
  link::CoordinatorLink line_;
};

}  // namespace

Result<Value> body_of(const Answer& answer) {
  auto parsed = parse_json(answer.body);
  if (!parsed)
    return tl::unexpected(parsed.error().while_doing("reading the coordinator's answer"));
  if (answer.ok) return std::move(*parsed);
  const std::string text = text_at(*parsed, "error", "the coordinator refused without a reason");
  return tl::unexpected(Error{code_of(text_at(*parsed, "code")), text});
}

Result<std::unique_ptr<Client>> connect(const std::string& address_file) {
  auto line = link::CoordinatorLink::open(link::find_address_file(address_file));
  if (!line) return tl::unexpected(line.error());
  return std::unique_ptr<Client>(std::make_unique<LinkClient>(std::move(*line)));
}

}  // namespace strata::cli

#include "cli/context.h"

#include <csignal>

#include "base/json.h"

namespace strata::cli {

int exit_code_of(const Error& error) {
  return error.code == ErrorCode::kInvalid ? kExitUsage : kExitFailed;
}

void Context::answer(const Value& value, const std::string& text) const {
  write_(json ? to_pretty_json(value) : text);
}

int Context::interrupted() const { return kExitSignal + (signal ? signal() : SIGINT); }

Result<Client*> Context::client() {
  if (client_ == nullptr) {
    STRATA_TRY(client_, connect_());
  }
  return client_.get();
}

Result<Value> Context::ask(const std::string& verb, const Value& body) {
  STRATA_TRY(Client* const line, client());
  return line->ask(verb, body);
}

}  // namespace strata::cli

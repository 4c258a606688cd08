// What every command gets: how to reach the coordinator, where and how to write, what time it is.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/clock.h"
#include "cli/client.h"
#include "cli/render/colour.h"

namespace strata::cli {

// Exit codes; docs/cli.md says the same.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;      // failed, or the coordinator cannot be reached
inline constexpr int kExitUsage = 2;       // wrong usage, or a file with an error in it
inline constexpr int kExitRunsFailed = 3;  // the sweep ended with failed or cancelled runs
inline constexpr int kExitWorldMoved = 4;  // refused: the world is not what the plan saw
inline constexpr int kExitSignal = 128;    // and the number of the signal that ended the command

[[nodiscard]] int exit_code_of(const Error& error);

class Context {
 public:
  using Connect = std::function<Result<std::unique_ptr<Client>>()>;
  using Write = std::function<void(const std::string&)>;

  Context(Connect connect, Write write, const Clock& system_clock)
      : clock(system_clock), connect_(std::move(connect)), write_(std::move(write)) {}

  bool json = false;
  Palette palette{};
  std::size_t width = 100;
  bool terminal = false;                       // standard output is one: progress may be redrawn
  std::function<TerminalSize()> size{};        // of it now: it may have been changed meanwhile
  std::function<bool(double seconds)> wait{};  // false: interrupted (SIGINT), the command ends
  std::function<int()> signal{};  // the one for which wait() gave false; absent: SIGINT
  const Clock& clock;
  std::string build{};                             // of this program
  std::filesystem::path cache{};                   // the user's cache folder; empty: none
  std::function<void(const std::string&)> tell{};  // a passing line about work that takes a while

  void print(const std::string& text) const { write_(text); }
  // With --json the value, else the text.
  void answer(const Value& value, const std::string& text) const;
  // Of a command whose wait() was interrupted.
  [[nodiscard]] int interrupted() const;
  // Connects at the first question.
  [[nodiscard]] Result<Value> ask(const std::string& verb, const Value& body = Object{});
  [[nodiscard]] Result<Client*> client();

 private:
  Connect connect_;
  Write write_;
  std::unique_ptr<Client> client_;
};

}  // namespace strata::cli

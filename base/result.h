// What can happen is a value. Result<T> holds a T or an Error whose message says what was being
// done, to what, and why not. An exception of a library ends at the file that includes the library;
// nothing of ours throws.
#pragma once

#include <fmt/format.h>

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace strata {

// Few on purpose: a caller branches on the kind, a person reads the message.
enum class ErrorCode {
  kInvalid,      // the input is wrong; a retry gives the same answer
  kNotFound,     // what was named does not exist
  kConflict,     // the world moved, or somebody else holds it
  kUnavailable,  // might work later: I/O, network, a full disk
  kUnsupported,  // a version or a feature this build does not have
  kDamaged,      // stored bytes are not what was written
  kTooLarge,     // a named limit was exceeded
  kInternal,     // a library failed in a way that we do not know
};

[[nodiscard]] const char* name_of(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;

  // "reading spec.json: <message>": the caller adds what it was doing.
  [[nodiscard]] Error while_doing(std::string_view what) const {
    return {code, fmt::format("{}: {}", what, message)};
  }
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> text,
                                         Args&&... args) {
  return tl::unexpected(Error{code, fmt::format(text, std::forward<Args>(args)...)});
}

}  // namespace strata

#define STRATA_CONCAT_INNER(a, b) a##b
#define STRATA_CONCAT(a, b) STRATA_CONCAT_INNER(a, b)

// STRATA_TRY(auto text, read_file(path)): declares `text`, or returns the error of the expression.
#define STRATA_TRY(declaration, expression) \
  STRATA_TRY_IMPL(STRATA_CONCAT(result_, __LINE__), declaration, expression)
#define STRATA_TRY_IMPL(result, declaration, expression)         \
  auto result = (expression);                                    \
  if (!result) return tl::unexpected(std::move(result.error())); \
  declaration = std::move(*result)

// STRATA_CHECK_OK(write(...)): for a Status; returns its error.
#define STRATA_CHECK_OK(expression)                                                               \
  do {                                                                                            \
    if (auto status_ = (expression); !status_) return tl::unexpected(std::move(status_.error())); \
  } while (false)

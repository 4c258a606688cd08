// The edge where torch's exceptions end.
#pragma once

#include <functional>
#include <string_view>
#include <type_traits>

#include "base/result.h"
#include "base/torch/torch.h"

namespace strata {

// Runs `f`; an exception of torch becomes an Error that begins with `what`. `f` returns a plain
// value, void, or a Result.
template <class F>
auto from_torch(std::string_view what, F&& f) {
  using Returned = std::invoke_result_t<F>;
  if constexpr (requires { typename Returned::error_type; }) {
    try {
      return std::invoke(std::forward<F>(f));
    } catch (const std::exception& e) {
      return Returned(
          tl::unexpected(Error{ErrorCode::kInternal, fmt::format("{}: {}", what, e.what())}));
    }
  } else {
    try {
      if constexpr (std::is_void_v<Returned>) {
        std::invoke(std::forward<F>(f));
        return Status();
      } else {
        return Result<Returned>(std::invoke(std::forward<F>(f)));
      }
    } catch (const std::exception& e) {
      return Result<Returned>(
          tl::unexpected(Error{ErrorCode::kInternal, fmt::format("{}: {}", what, e.what())}));
    }
  }
}

}  // namespace strata

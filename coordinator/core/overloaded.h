// A visitor made of lambdas.
#pragma once

namespace strata::coordinator {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace strata::coordinator

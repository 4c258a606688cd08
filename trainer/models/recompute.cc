#include "trainer/models/recompute.h"

#include "base/torch/torch.h"
#include "trainer/models/precision.h"

namespace strata::trainer {
namespace {

struct Held : torch::CustomClassHolder {
  explicit Held(TwoToOne function) : f(std::move(function)) {}
  TwoToOne f;
  Precision precision = compute_precision();
};

struct RecomputeFunction : torch::autograd::Function<RecomputeFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& a,
                            const at::Tensor& b, const c10::intrusive_ptr<Held>& held) {
    context->save_for_backward({a, b});
    context->saved_data["f"] = c10::IValue::make_capsule(held);
    const at::AutoGradMode no_graph(false);
    return held->f(a, b);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto held =
        c10::static_intrusive_pointer_cast<Held>(context->saved_data["f"].toCapsule());
    const at::AutoGradMode graph(true);
    const at::Tensor a = saved[0].detach().requires_grad_(saved[0].requires_grad());
    const at::Tensor b = saved[1].detach().requires_grad_(saved[1].requires_grad());
    const at::Tensor y = [&] {
      const ComputeIn precision(held->precision);
      return held->f(a, b);
    }();
    torch::autograd::backward({y}, {gradients[0]});
    return {a.grad(), b.grad(), {}};
  }
};

}  // namespace

at::Tensor recomputed(TwoToOne f, const at::Tensor& a, const at::Tensor& b) {
  if (!at::GradMode::is_enabled()) return f(a, b);
  return RecomputeFunction::apply(a, b, c10::make_intrusive<Held>(std::move(f)));
}

}  // namespace strata::trainer

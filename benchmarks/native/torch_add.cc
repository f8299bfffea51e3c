// What ours is compared with: an addition as a C++ extension of torch, and as a plain C function.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

extern "C" void plain_add(const float* x, const float* y, float* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] + y[i];
}

namespace {

using at::Tensor;

void AddOut(const Tensor& x, const Tensor& y, Tensor out) {
  TORCH_CHECK(x.scalar_type() == at::kFloat && y.scalar_type() == at::kFloat);
  TORCH_CHECK(x.is_contiguous() && y.is_contiguous() && out.is_contiguous());
  TORCH_CHECK(x.sizes() == y.sizes() && x.sizes() == out.sizes());
  plain_add(x.const_data_ptr<float>(), y.const_data_ptr<float>(), out.mutable_data_ptr<float>(),
            x.numel());
}

Tensor Add(const Tensor& x, const Tensor& y) {
  Tensor out = at::empty_like(x);
  AddOut(x, y, out);
  return out;
}

struct AddFunction : torch::autograd::Function<AddFunction> {
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x, const Tensor& y) {
    const at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("oag_benchmark::add_with_gradient", "")
                               .typed<Tensor(const Tensor&, const Tensor&)>();
    return op.call(x, y);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list grads) {
    return {grads[0], grads[0]};
  }
};

Tensor AddRecorded(const Tensor& x, const Tensor& y) { return AddFunction::apply(x, y); }

}  // namespace

TORCH_LIBRARY(oag_benchmark, m) {
  m.def("add_out(Tensor x, Tensor y, Tensor(a!) out) -> ()");
  m.def("add(Tensor x, Tensor y) -> Tensor");
  m.def("add_with_gradient(Tensor x, Tensor y) -> Tensor");
}

TORCH_LIBRARY_IMPL(oag_benchmark, CPU, m) {
  m.impl("add_out", AddOut);
  m.impl("add", Add);
  m.impl("add_with_gradient", Add);
}

TORCH_LIBRARY_IMPL(oag_benchmark, Autograd, m) { m.impl("add_with_gradient", AddRecorded); }

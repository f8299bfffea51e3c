#include "add.h"

using namespace openautoglm;

REGISTER_OPERATOR(fast_add, "fast_add(Tensor x[...], Tensor y[...], float alpha=1.0) -> Tensor z[...]");
REGISTER_OPERATOR(fast_add_backward,
                  "fast_add_backward(Tensor grad, float alpha=1.0) -> (Tensor grad_x, Tensor grad_y)");

template <typename Device>
struct FastAddKernel;

template <>
struct FastAddKernel<CPU> {
  static constexpr bool kContiguous = true;

  static void forward(TensorView x, TensorView y, double alpha, TensorView z) {
    fast_add::Add(x, y, alpha, z);
  }

  static void backward(TensorView grad, double alpha, TensorView grad_x, TensorView grad_y) {
    OAG_CHECK_SAME_SHAPE(grad_x, grad);
    OAG_CHECK_SAME_SHAPE(grad_y, grad);
    OAG_CHECK_CONTIGUOUS(grad);
    VisitDtype<float, double>(grad.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T* from = grad.data<const T>();
      for (int64_t i = 0; i < grad.numel(); ++i) {
        grad_x.data<T>()[i] = from[i];
        grad_y.data<T>()[i] = static_cast<T>(alpha) * from[i];
      }
    });
  }
};

REGISTER_KERNEL(fast_add, FastAddKernel<CPU>, CPU, F32, F64);

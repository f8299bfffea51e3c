// The kernels around the inner loops of bias_gelu: checks, leading dimensions, choice by dtype.
#ifndef OPENAUTOGLM_KERNELS_BIAS_GELU_KERNEL_H_
#define OPENAUTOGLM_KERNELS_BIAS_GELU_KERNEL_H_

#include "../column_sums.h"
#include "bias_gelu.h"

namespace openautoglm::kernels {

inline void CheckBias(const TensorView& bias, const TensorView& x) {
  OAG_CHECK_SAME_DTYPE(bias, x);
  OAG_CHECK_RANK(bias, 1);
  OAG_CHECK_SIZE(bias, 0, x.size(-1));
}

inline bool IsTanh(std::string_view approximate) {
  OAG_CHECK(approximate == "none" || approximate == "tanh", "approximate must be none or tanh",
            approximate);
  return approximate == "tanh";
}

template <const ByDtype<GeluCall>& kTable, int kRank>
struct BiasGeluKernel {
  static constexpr int kPriority = kRank;

  static void forward(TensorView x, TensorView bias, std::string_view approximate, TensorView out) {
    OAG_CHECK_SAME_SHAPE(out, x);
    OAG_CHECK_SAME_DTYPE(out, x);
    CheckBias(bias, x);
    const bool tanh = IsTanh(approximate);
    if (x.size(-1) == 0) return;
    LeadingAxes(x, x, out).Walk([&](const std::array<int64_t, 2>& offset, const Axis<2>& axis) {
      Run(kTable, x.dtype(),
          {{At(x, offset[0]), axis.step[0], LastStep(x)},
           {bias.bytes(), 0, LastStep(bias)},
           {At(out, offset[1]), axis.step[1], LastStep(out)},
           axis.size,
           x.size(-1),
           tanh});
    });
  }
};

template <const ByDtype<GeluBackwardCall>& kTable, int kRank>
struct BiasGeluBackwardKernel {
  static constexpr int kPriority = kRank;

  static void forward(TensorView grad, TensorView x, TensorView bias, std::string_view approximate,
                      TensorView grad_x, TensorView grad_bias) {
    OAG_CHECK_SAME_SHAPE(grad, x);
    OAG_CHECK_SAME_SHAPE(grad_x, x);
    OAG_CHECK_SAME_SHAPE(grad_bias, bias);
    OAG_CHECK_SAME_DTYPE(x, grad);
    OAG_CHECK_SAME_DTYPE(grad_x, grad);
    OAG_CHECK_SAME_DTYPE(grad_bias, grad);
    CheckBias(bias, x);
    const bool tanh = IsTanh(approximate);
    if (x.size(-1) == 0) return;
    VisitFloat(x.dtype(),
               [&](auto zero) { Typed<decltype(zero)>(grad, x, bias, tanh, grad_x, grad_bias); });
  }

 private:
  template <class T>
  static void Typed(TensorView grad, TensorView x, TensorView bias, bool tanh, TensorView grad_x,
                    TensorView grad_bias) {
    ColumnSums<OAG_SIMD::Compute<T>> sums(x.size(-1));
    LeadingAxes(x, grad, x, grad_x)
        .Walk([&](const std::array<int64_t, 3>& offset, const Axis<3>& axis) {
          sums.AddRows(axis.size, [&](int64_t first, int64_t rows) {
            Run(kTable, x.dtype(),
                {{At(grad, offset[0] + first * axis.step[0]), axis.step[0], LastStep(grad)},
                 {At(x, offset[1] + first * axis.step[1]), axis.step[1], LastStep(x)},
                 {bias.bytes(), 0, LastStep(bias)},
                 {At(grad_x, offset[2] + first * axis.step[2]), axis.step[2], LastStep(grad_x)},
                 sums.block(),
                 rows,
                 x.size(-1),
                 tanh});
          });
        });
    sums.template WriteTo<T>(grad_bias);
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_BIAS_GELU_KERNEL_H_

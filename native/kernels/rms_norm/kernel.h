// The kernels around the inner loops of rms_norm: checks, leading dimensions, choice by dtype.
#ifndef OPENAUTOGLM_KERNELS_RMS_NORM_KERNEL_H_
#define OPENAUTOGLM_KERNELS_RMS_NORM_KERNEL_H_

#include "../column_sums.h"
#include "rms_norm.h"

namespace openautoglm::kernels {

inline void CheckWeight(const Optional<TensorView>& weight, const TensorView& x) {
  if (!weight) return;
  OAG_CHECK_SAME_DTYPE((*weight), x);
  OAG_CHECK_RANK((*weight), 1);
  OAG_CHECK_SIZE((*weight), 0, x.size(-1));
}

inline RowsIn WeightRow(const Optional<TensorView>& weight) {
  return weight ? RowsIn{weight->bytes(), 0, LastStep(*weight)} : RowsIn{nullptr, 0, 1};
}

template <const ByDtype<RmsNormCall>& kTable, int kRank>
struct RmsNormKernel {
  static constexpr int kPriority = kRank;

  static void forward(TensorView x, Optional<TensorView> weight, double eps, TensorView out) {
    OAG_CHECK_SAME_SHAPE(out, x);
    OAG_CHECK_SAME_DTYPE(out, x);
    CheckWeight(weight, x);
    if (x.size(-1) == 0) return;
    LeadingAxes(x, x, out).Walk([&](const std::array<int64_t, 2>& offset, const Axis<2>& axis) {
      Run(kTable, x.dtype(),
          {{At(x, offset[0]), axis.step[0], LastStep(x)},
           WeightRow(weight),
           {At(out, offset[1]), axis.step[1], LastStep(out)},
           axis.size,
           x.size(-1),
           eps});
    });
  }
};

template <const ByDtype<RmsNormBackwardCall>& kTable, int kRank>
struct RmsNormBackwardKernel {
  static constexpr int kPriority = kRank;

  static void forward(TensorView grad, TensorView x, Optional<TensorView> weight, double eps,
                      TensorView grad_x, TensorView grad_weight) {
    OAG_CHECK_SAME_SHAPE(grad, x);
    OAG_CHECK_SAME_SHAPE(grad_x, x);
    OAG_CHECK_SAME_DTYPE(x, grad);
    OAG_CHECK_SAME_DTYPE(grad_x, grad);
    OAG_CHECK_SAME_DTYPE(grad_weight, grad);
    OAG_CHECK_RANK(grad_weight, 1);
    OAG_CHECK_SIZE(grad_weight, 0, x.size(-1));
    CheckWeight(weight, x);
    if (x.size(-1) == 0) return;
    VisitFloat(x.dtype(), [&](auto zero) {
      Typed<decltype(zero)>(grad, x, weight, eps, grad_x, grad_weight);
    });
  }

 private:
  template <class T>
  static void Typed(TensorView grad, TensorView x, const Optional<TensorView>& weight, double eps,
                    TensorView grad_x, TensorView grad_weight) {
    ColumnSums<OAG_SIMD::Compute<T>> sums(x.size(-1));
    LeadingAxes(x, grad, x, grad_x)
        .Walk([&](const std::array<int64_t, 3>& offset, const Axis<3>& axis) {
          sums.AddRows(axis.size, [&](int64_t first, int64_t rows) {
            Run(kTable, x.dtype(),
                {{At(grad, offset[0] + first * axis.step[0]), axis.step[0], LastStep(grad)},
                 {At(x, offset[1] + first * axis.step[1]), axis.step[1], LastStep(x)},
                 WeightRow(weight),
                 {At(grad_x, offset[2] + first * axis.step[2]), axis.step[2], LastStep(grad_x)},
                 sums.block(),
                 rows,
                 x.size(-1),
                 eps});
          });
        });
    sums.template WriteTo<T>(grad_weight);
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_RMS_NORM_KERNEL_H_

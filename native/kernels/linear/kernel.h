// The kernel around the inner loops of linear.
#ifndef OPENAUTOGLM_KERNELS_LINEAR_KERNEL_H_
#define OPENAUTOGLM_KERNELS_LINEAR_KERNEL_H_

#include "../packed_kernel.h"
#include "linear.h"

namespace openautoglm::kernels {

template <const LinearRun& kRun, int kRank>
struct LinearKernel {
  static constexpr int kPriority = kRank;
  static constexpr bool kContiguous = true;

  static void forward(TensorView x, TensorView weight, Optional<TensorView> bias,
                      Optional<TensorView> residual, TensorView out) {
    OAG_CHECK_DTYPE(weight, F32);
    OAG_CHECK_RANK(weight, 3);
    const LinearCall call = ReadLinear(x, 1, weight, bias, residual, out);
    OverBlocks(call, [&](int64_t begin, int64_t end) { kRun(call, begin, end); });
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LINEAR_KERNEL_H_

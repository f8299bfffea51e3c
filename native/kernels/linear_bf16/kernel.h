// The kernel around the inner loops of linear_bf16.
#ifndef OPENAUTOGLM_KERNELS_LINEAR_BF16_KERNEL_H_
#define OPENAUTOGLM_KERNELS_LINEAR_BF16_KERNEL_H_

#include <memory>

#include "../packed_kernel.h"
#include "linear_bf16.h"

namespace openautoglm::kernels {

template <const LinearBf16Table& kTable, int kRank>
struct LinearBf16Kernel {
  static constexpr int kPriority = kRank;
  static constexpr bool kContiguous = true;

  static void forward(TensorView x, TensorView weight, Optional<TensorView> bias,
                      Optional<TensorView> residual, TensorView out) {
    OAG_CHECK_DTYPE(weight, BF16);
    OAG_CHECK_RANK(weight, 4);
    OAG_CHECK_SIZE(weight, 3, 2);
    const LinearCall call = ReadLinear(x, 2, weight, bias, residual, out);
    const std::unique_ptr<BFloat16[]> rounded(new BFloat16[static_cast<size_t>(call.rows * call.depth)]);
    BFloat16* const rows = rounded.get();
    kTable.prepare(call, rows);
    OverBlocks(call, [&](int64_t begin, int64_t end) { kTable.run(call, rows, begin, end); });
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LINEAR_BF16_KERNEL_H_

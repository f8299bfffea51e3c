// The kernel around the inner loop of silu_gated.
#ifndef OPENAUTOGLM_KERNELS_SILU_GATED_KERNEL_H_
#define OPENAUTOGLM_KERNELS_SILU_GATED_KERNEL_H_

#include <openautoglm/parallel.h>

#include "../axes.h"
#include "silu_gated.h"

namespace openautoglm::kernels {

template <const GatedRun& kRun, int kRank>
struct SiluGatedKernel {
  static constexpr int kPriority = kRank;
  static constexpr bool kContiguous = true;

  static void forward(TensorView x, TensorView out) {
    OAG_CHECK_SIZE(x, -2, 2);
    OAG_CHECK_SIZE(out, -1, x.size(-1));
    const int64_t width = x.size(-1);
    if (width == 0) return;
    OAG_CHECK(out.numel() * 2 == x.numel(), "out must have half the elements of x", out.shape_text());
    const float* from = x.data<const float>();
    float* to = out.data<float>();
    constexpr int64_t kWorthAThread = 1 << 14;
    ParallelFor(out.numel() / width, kWorthAThread / width + 1, [=](int64_t begin, int64_t end) {
      kRun({from + begin * 2 * width, to + begin * width, end - begin, width});
    });
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_SILU_GATED_KERNEL_H_

// The kernel around an elementwise inner loop: broadcasting, strides, choice by dtype.
#ifndef OPENAUTOGLM_KERNELS_BINARY_KERNEL_H_
#define OPENAUTOGLM_KERNELS_BINARY_KERNEL_H_

#include "axes.h"
#include "binary.h"

namespace openautoglm::kernels {

template <const ByDtype<BinaryLine>& kTable, int kRank>
struct BinaryKernel {
  static constexpr int kPriority = kRank;

  static void forward(TensorView x, TensorView y, double factor, TensorView out) {
    OAG_CHECK_SAME_DTYPE(y, x);
    OAG_CHECK_SAME_DTYPE(out, x);
    OAG_CHECK(x.rank() <= out.rank() && y.rank() <= out.rank(),
              "out must have the shape x and y broadcast to", "shape " + out.shape_text());
    Axes<3> axes;
    for (int dim = 0; dim < out.rank(); ++dim) {
      const int64_t x_step = BroadcastStep("x", x, out, dim);
      const int64_t y_step = BroadcastStep("y", y, out, dim);
      axes.Append({out.size(dim), {x_step, y_step, out.stride(dim)}});
    }
    axes.Walk([&](const std::array<int64_t, 3>& offset, const Axis<3>& axis) {
      Run(kTable, x.dtype(),
          {At(x, offset[0]), At(y, offset[1]), At(out, offset[2]), axis.step[0], axis.step[1],
           axis.step[2], axis.size, factor});
    });
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_BINARY_KERNEL_H_

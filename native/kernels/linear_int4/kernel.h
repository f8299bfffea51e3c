// The kernel around the inner loops of linear_int4.
#ifndef OPENAUTOGLM_KERNELS_LINEAR_INT4_KERNEL_H_
#define OPENAUTOGLM_KERNELS_LINEAR_INT4_KERNEL_H_

#include <memory>

#include "../linear_int8/kernel.h"
#include "linear_int4.h"

namespace openautoglm::kernels {

constexpr int64_t kLine = 64;  // bytes of the widest vector, which is best not cut by the end of a cache line

template <const LinearInt4Table& kTable, int kRank>
struct LinearInt4Kernel {
  static constexpr int kPriority = kRank;
  static constexpr bool kContiguous = true;

  static void forward(TensorView x, TensorView weight, TensorView grid, TensorView scale, Optional<TensorView> bias,
                      Optional<TensorView> residual, TensorView out) {
    OAG_CHECK_DTYPE(weight, U8);
    OAG_CHECK_RANK(weight, 5);
    OAG_CHECK_SIZE(weight, 2, kGroup / 8);
    OAG_CHECK_SIZE(weight, 4, 4);
    OAG_CHECK_DTYPE(grid, U8);
    OAG_CHECK_RANK(grid, 3);
    OAG_CHECK_SIZE(grid, 0, weight.size(0));
    OAG_CHECK_SIZE(grid, 1, weight.size(1));
    OAG_CHECK_SIZE(grid, 2, kBlock);
    LinearCall call = ReadLinear(x, kGroup, weight, bias, residual, out);
    OAG_CHECK(call.depth <= kDeepestInt8, "the depth of int4 must be at most 131072, or sums would overflow",
              x.shape_text());
    call.scale = BlocksOf("scale", scale, call.blocks);
    const Int8Room room(call);
    const std::unique_ptr<int32_t[]> sums(new int32_t[static_cast<size_t>(call.depth / kGroup)]);
    const Int4Rows rows{room.rows(), grid.data<const uint8_t>(), sums.get(), nullptr};
    kTable.prepare(call, rows);
    const int64_t tile = call.rows < kManyRows ? 0 : kMostBlocks * kBlock * call.depth;
    OverBlocks(call, [&](int64_t begin, int64_t end) {
      const std::unique_ptr<int8_t[]> own(new int8_t[static_cast<size_t>(tile + kLine)]);  // each thread's
      Int4Rows mine = rows;
      mine.room = own.get() + kLine - reinterpret_cast<uintptr_t>(own.get()) % kLine;
      kTable.run(call, mine, begin, end);
    });
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LINEAR_INT4_KERNEL_H_

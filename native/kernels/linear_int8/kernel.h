// The kernel around the inner loops of linear_int8.
#ifndef OPENAUTOGLM_KERNELS_LINEAR_INT8_KERNEL_H_
#define OPENAUTOGLM_KERNELS_LINEAR_INT8_KERNEL_H_

#include <memory>

#include "../packed_kernel.h"
#include "linear_int8.h"

namespace openautoglm::kernels {

// Room for rows as integers.
class Int8Room {
 public:
  explicit Int8Room(const LinearCall& call)
      : whole_(new int8_t[static_cast<size_t>(call.rows * call.depth)]),
        unit_(new float[static_cast<size_t>(call.rows)]),
        sum_(new int32_t[static_cast<size_t>(call.rows)]) {}

  Int8Rows rows() const { return {whole_.get(), unit_.get(), sum_.get()}; }

 private:
  std::unique_ptr<int8_t[]> whole_;
  std::unique_ptr<float[]> unit_;
  std::unique_ptr<int32_t[]> sum_;
};

template <const LinearInt8Table& kTable, int kRank>
struct LinearInt8Kernel {
  static constexpr int kPriority = kRank;
  static constexpr bool kContiguous = true;

  static void forward(TensorView x, TensorView weight, TensorView scale, Optional<TensorView> bias,
                      Optional<TensorView> residual, TensorView out) {
    OAG_CHECK_DTYPE(weight, I8);
    OAG_CHECK_RANK(weight, 4);
    OAG_CHECK_SIZE(weight, 3, 4);
    LinearCall call = ReadLinear(x, 4, weight, bias, residual, out);
    OAG_CHECK(call.depth <= kDeepestInt8, "the depth of int8 must be at most 131072, or sums would overflow",
              x.shape_text());
    call.scale = BlocksOf("scale", scale, call.blocks);
    const Int8Room room(call);
    const Int8Rows rows = room.rows();
    kTable.prepare(call, rows);
    OverBlocks(call, [&](int64_t begin, int64_t end) { kTable.run(call, rows, begin, end); });
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LINEAR_INT8_KERNEL_H_

// Rows of a table by their numbers, as f32.
#include <openautoglm/op.h>

#include <limits>

#include "../axes.h"
#include "../simd.h"

namespace openautoglm::kernels {

namespace {

template <class T>
void Copy(const TensorView& table, int64_t row, float* to) {
  const T* from = static_cast<const T*>(table.bytes()) + row * table.stride(0);
  const int64_t width = table.size(1), step = table.stride(1);
  int64_t i = 0;
  for (; step == 1 && i + OAG_SIMD::kLanes<T> <= width; i += OAG_SIMD::kLanes<T>) {
    OAG_SIMD::Store<float>(to + i, OAG_SIMD::Load<T>(from + i));
  }
  for (; i < width; ++i) to[i] = OAG_SIMD::LoadOne<T>(from + i * step);
}

struct EmbeddingKernel {
  static constexpr int kPriority = kPlainPriority;

  static void forward(TensorView table, TensorView ids, TensorView out) {
    OAG_CHECK_RANK(table, 2);
    OAG_CHECK_RANK(ids, 1);
    OAG_CHECK_RANK(out, 2);
    OAG_CHECK_SIZE(out, 0, ids.size(0));
    OAG_CHECK_SIZE(out, 1, table.size(1));
    for (int64_t i = 0; i < ids.size(0); ++i) {
      const int64_t row = ids.data<const int64_t>()[i * ids.stride(0)];
      float* to = out.data<float>() + i * out.stride(0);
      if (row < 0 || row >= table.size(0)) {
        for (int64_t k = 0; k < out.size(1); ++k) to[k] = std::numeric_limits<float>::quiet_NaN();
      } else if (table.dtype().bits == 32) {
        Copy<float>(table, row, to);
      } else if (table.dtype().code == kDLBfloat) {
        Copy<BFloat16>(table, row, to);
      } else {
        Copy<Float16>(table, row, to);
      }
    }
  }
};

}  // namespace

REGISTER_KERNEL(embedding, EmbeddingKernel, CPU, F16, BF16, F32);

}  // namespace openautoglm::kernels

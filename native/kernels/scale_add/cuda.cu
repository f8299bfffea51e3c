#include "../binary_cuda.h"

namespace openautoglm::kernels {

struct ScaleAddCuda {
  template <class C>
  static __device__ C Apply(C x, C y, C factor) {
    return x * factor + y;
  }
};

REGISTER_KERNEL(scale_add, BinaryCuda<ScaleAddCuda>, CUDA, F16, BF16, F32, F64);

}  // namespace openautoglm::kernels

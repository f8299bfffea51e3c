#include "../binary_cuda.h"

namespace openautoglm::kernels {

struct MulCuda {
  template <class C>
  static __device__ C Apply(C x, C y, C factor) {
    return x * y * factor;
  }
};

REGISTER_KERNEL(mul, BinaryCuda<MulCuda>, CUDA, F16, BF16, F32, F64);

}  // namespace openautoglm::kernels

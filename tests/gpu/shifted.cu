// Adds SHIFT, a constant of the build, so that a result tells which build made it.
#include <openautoglm/op.h>

using namespace openautoglm;

REGISTER_OPERATOR(shifted, "shifted(Tensor x) -> Tensor");

namespace {

__global__ void ShiftedKernel(const float* x, int64_t n, float* z) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    z[i] = x[i] + static_cast<float>(SHIFT);
  }
}

}  // namespace

struct Shifted {
  static constexpr bool kContiguous = true;

  static void forward(TensorView x, TensorView z) {
    OAG_CHECK_SAME_SHAPE(z, x);
    const int64_t n = x.numel();
    if (n == 0) return;
    const int64_t blocks = (n + 255) / 256;
    ShiftedKernel<<<blocks < 65535 ? static_cast<int>(blocks) : 65535, 256, 0,
                    CurrentStream(x.device())>>>(x.data<const float>(), n, z.data<float>());
  }
};

REGISTER_KERNEL(shifted, Shifted, CUDA, F32);

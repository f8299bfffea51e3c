// shifted_add.cc for CUDA.
#include <openautoglm/op.h>

using namespace openautoglm;

REGISTER_OPERATOR(shifted_add, "shifted_add(Tensor x, Tensor y) -> Tensor");

namespace {

__global__ void ShiftedAddKernel(const float* x, const float* y, int64_t n, float* z) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    z[i] = x[i] + y[i] + SHIFT;
  }
}

}  // namespace

struct ShiftedAddCuda {
  static constexpr bool kContiguous = true;

  static void forward(TensorView x, TensorView y, TensorView z) {
    OAG_CHECK_SAME_SHAPE(y, x);
    OAG_CHECK_SAME_SHAPE(z, x);

    const int64_t n = x.numel();
    if (n == 0) return;
    const cudaStream_t stream = CurrentStream(x.device());

    const int64_t blocks = (n + 255) / 256;
    ShiftedAddKernel<<<blocks < 65535 ? static_cast<int>(blocks) : 65535, 256, 0, stream>>>(
        x.data<const float>(), y.data<const float>(), n, z.data<float>());
  }
};

REGISTER_KERNEL(shifted_add, ShiftedAddCuda, CUDA, F32);

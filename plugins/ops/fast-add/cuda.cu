#include <openautoglm/op.h>

using namespace openautoglm;

namespace {

template <typename T>
__global__ void AddKernel(const T* x, const T* y, T alpha, int64_t n, T* z) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    z[i] = x[i] + alpha * y[i];
  }
}

}  // namespace

struct FastAddCuda {
  static constexpr bool kContiguous = true;
  static constexpr int kMinSm = 80;

  static void forward(TensorView x, TensorView y, double alpha, TensorView z) {
    OAG_CHECK_SAME_SHAPE(y, x);
    OAG_CHECK_SAME_SHAPE(z, x);
    OAG_CHECK_SAME_DTYPE(y, x);
    OAG_CHECK_SAME_DTYPE(z, x);
    OAG_CHECK_CONTIGUOUS(x);
    OAG_CHECK_CONTIGUOUS(y);
    OAG_CHECK_CONTIGUOUS(z);

    const int64_t n = x.numel();
    if (n == 0) return;
    const cudaStream_t stream = CurrentStream(x.device());

    const int64_t blocks = (n + 255) / 256;
    const int grid = blocks < 65535 ? static_cast<int>(blocks) : 65535;
    VisitDtype<float, double>(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      AddKernel<<<grid, 256, 0, stream>>>(x.data<const T>(), y.data<const T>(),
                                          static_cast<T>(alpha), n, z.data<T>());
    });
  }
};

REGISTER_KERNEL(fast_add, FastAddCuda, CUDA, F32, F64);

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

template <typename T>
__global__ void AddBackwardKernel(const T* grad, T alpha, int64_t n, T* grad_x, T* grad_y) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    grad_x[i] = grad[i];
    grad_y[i] = alpha * grad[i];
  }
}

int GridFor(int64_t n) {
  const int64_t blocks = (n + 255) / 256;
  return blocks < 65535 ? static_cast<int>(blocks) : 65535;
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
    VisitDtype<float, double>(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      AddKernel<<<GridFor(n), 256, 0, stream>>>(x.data<const T>(), y.data<const T>(),
                                                static_cast<T>(alpha), n, z.data<T>());
    });
  }

  static void backward(TensorView grad, double alpha, TensorView grad_x, TensorView grad_y) {
    OAG_CHECK_SAME_SHAPE(grad_x, grad);
    OAG_CHECK_SAME_SHAPE(grad_y, grad);
    OAG_CHECK_CONTIGUOUS(grad);

    const int64_t n = grad.numel();
    if (n == 0) return;
    const cudaStream_t stream = CurrentStream(grad.device());
    VisitDtype<float, double>(grad.dtype(), [&](auto zero) {
      using T = decltype(zero);
      AddBackwardKernel<<<GridFor(n), 256, 0, stream>>>(grad.data<const T>(),
                                                        static_cast<T>(alpha), n,
                                                        grad_x.data<T>(), grad_y.data<T>());
    });
  }
};

REGISTER_KERNEL(fast_add, FastAddCuda, CUDA, F32, F64);

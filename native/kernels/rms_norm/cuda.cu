// One block normalises one row at a time.
#include "../column_sums_cuda.h"

namespace openautoglm::kernels {
namespace rms_norm {

template <class T>
struct Operands {
  const T* grad;  // null in forward
  const T* x;
  const T* weight;  // may be null
  T* out;           // forward: the result; backward: grad_x
  Rows grad_rows;
  Rows x_rows;
  Rows out_rows;
  int64_t weight_step;
  int64_t rows;
  int64_t size;
  Compute<T> eps;

  __device__ Compute<T> Weight(int64_t i) const {
    return weight == nullptr ? Compute<T>(1) : Wide(weight[i * weight_step]);
  }
};

template <class T>
__global__ void Forward(Operands<T> o) {
  using C = Compute<T>;
  for (int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    const T* x = o.x + o.x_rows.Offset(r);
    T* out = o.out + o.out_rows.Offset(r);
    C squares = 0;
    for (int64_t i = threadIdx.x; i < o.size; i += blockDim.x) {
      const C v = Wide(x[i * o.x_rows.step]);
      squares += v * v;
    }
    const C inverse = rsqrt(OverBlock<Sum<C>>(squares) / static_cast<C>(o.size) + o.eps);
    for (int64_t i = threadIdx.x; i < o.size; i += blockDim.x) {
      out[i * o.out_rows.step] = Narrow<T>(Wide(x[i * o.x_rows.step]) * inverse * o.Weight(i));
    }
  }
}

// Rows that lie side by side on 16-byte boundaries.
template <class T>
__global__ void ForwardPacked(Operands<T> o) {
  using C = Compute<T>;
  using P = Pack<T>;
  const int64_t packs = o.size / P::kCount;
  for (int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    const P* x = reinterpret_cast<const P*>(o.x + r * o.size);
    P* out = reinterpret_cast<P*>(o.out + r * o.size);
    C squares = 0;
    for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
      const P p = x[i];
#pragma unroll
      for (int k = 0; k < P::kCount; ++k) squares += Wide(p.items[k]) * Wide(p.items[k]);
    }
    const C inverse = rsqrt(OverBlock<Sum<C>>(squares) / static_cast<C>(o.size) + o.eps);
    for (int64_t i = threadIdx.x; i < packs; i += blockDim.x) {
      P p = x[i];
#pragma unroll
      for (int k = 0; k < P::kCount; ++k) {
        p.items[k] = Narrow<T>(Wide(p.items[k]) * inverse * o.Weight(i * P::kCount + k));
      }
      out[i] = p;
    }
  }
}

template <class T>
__global__ void Backward(Operands<T> o, Compute<T>* inverses) {
  using C = Compute<T>;
  for (int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    const T* x = o.x + o.x_rows.Offset(r);
    const T* grad = o.grad + o.grad_rows.Offset(r);
    T* out = o.out + o.out_rows.Offset(r);
    C squares = 0, dots = 0;
    for (int64_t i = threadIdx.x; i < o.size; i += blockDim.x) {
      const C v = Wide(x[i * o.x_rows.step]);
      squares += v * v;
      dots += v * Wide(grad[i * o.grad_rows.step]) * o.Weight(i);
    }
    const C inverse = rsqrt(OverBlock<Sum<C>>(squares) / static_cast<C>(o.size) + o.eps);
    const C pull = inverse * inverse * inverse * (OverBlock<Sum<C>>(dots) / static_cast<C>(o.size));
    for (int64_t i = threadIdx.x; i < o.size; i += blockDim.x) {
      const C g = Wide(grad[i * o.grad_rows.step]) * o.Weight(i);
      out[i * o.out_rows.step] = Narrow<T>(g * inverse - Wide(x[i * o.x_rows.step]) * pull);
    }
    if (threadIdx.x == 0) inverses[r] = inverse;
  }
}

template <class T>
struct WeightTerm {
  Operands<T> o;
  const Compute<T>* inverses;
  __device__ Compute<T> operator()(int64_t r, int64_t i) const {
    return Wide(o.grad[o.grad_rows.Offset(r) + i * o.grad_rows.step]) *
           Wide(o.x[o.x_rows.Offset(r) + i * o.x_rows.step]) * inverses[r];
  }
};

template <class T>
Operands<T> Read(const TensorView& x, const Optional<TensorView>& weight, double eps,
                 const TensorView& out) {
  Operands<T> o{};
  o.x = static_cast<const T*>(x.bytes());
  o.x_rows = RowsOf(x);
  o.out = static_cast<T*>(out.bytes());
  o.out_rows = RowsOf(out);
  o.weight = weight ? static_cast<const T*>(weight->bytes()) : nullptr;
  o.weight_step = weight ? weight->stride(0) : 0;
  o.rows = CountRows(x);
  o.size = x.size(-1);
  o.eps = static_cast<Compute<T>>(eps);
  return o;
}

inline void Check(const TensorView& x, const Optional<TensorView>& weight, const TensorView& out) {
  OAG_CHECK_SAME_SHAPE(out, x);
  OAG_CHECK_SAME_DTYPE(out, x);
  if (!weight) return;
  OAG_CHECK_SAME_DTYPE((*weight), x);
  OAG_CHECK_RANK((*weight), 1);
  OAG_CHECK_SIZE((*weight), 0, x.size(-1));
}

struct ForwardKernel {
  static constexpr int kPriority = kCudaPriority;
  static constexpr int kMinSm = 80;

  static void forward(TensorView x, Optional<TensorView> weight, double eps, TensorView out) {
    Check(x, weight, out);
    if (x.numel() == 0) return;
    VisitFloat(x.dtype(), [&](auto zero) { Launch<decltype(zero)>(x, weight, eps, out); });
  }

 private:
  template <class T>
  static void Launch(TensorView x, const Optional<TensorView>& weight, double eps, TensorView out) {
    const Operands<T> o = Read<T>(x, weight, eps, out);
    const cudaStream_t stream = CurrentStream(x.device());
    const bool packed = x.is_contiguous() && out.is_contiguous() && o.size % Pack<T>::kCount == 0 &&
                        IsAligned(o.x) && IsAligned(o.out);
    if (packed) {
      ForwardPacked<T><<<Blocks(o.rows, 1), kThreads, 0, stream>>>(o);
    } else {
      Forward<T><<<Blocks(o.rows, 1), kThreads, 0, stream>>>(o);
    }
    CheckCuda(cudaGetLastError());
  }
};

struct BackwardKernel {
  static constexpr int kPriority = kCudaPriority;
  static constexpr int kMinSm = 80;

  static void forward(TensorView grad, TensorView x, Optional<TensorView> weight, double eps,
                      TensorView grad_x, TensorView grad_weight) {
    Check(x, weight, grad_x);
    OAG_CHECK_SAME_SHAPE(grad, x);
    OAG_CHECK_SAME_DTYPE(grad, x);
    OAG_CHECK_SAME_DTYPE(grad_weight, x);
    OAG_CHECK_RANK(grad_weight, 1);
    OAG_CHECK_SIZE(grad_weight, 0, x.size(-1));
    if (x.size(-1) == 0) return;
    VisitFloat(x.dtype(), [&](auto zero) {
      Launch<decltype(zero)>(grad, x, weight, eps, grad_x, grad_weight);
    });
  }

 private:
  template <class T>
  static void Launch(TensorView grad, TensorView x, const Optional<TensorView>& weight, double eps,
                     TensorView grad_x, TensorView grad_weight) {
    Operands<T> o = Read<T>(x, weight, eps, grad_x);
    o.grad = static_cast<const T*>(grad.bytes());
    o.grad_rows = RowsOf(grad);
    const cudaStream_t stream = CurrentStream(x.device());
    Compute<T>* inverses = nullptr;
    const size_t bytes = sizeof(*inverses) * static_cast<size_t>(o.rows > 0 ? o.rows : 1);
    CheckCuda(cudaMallocAsync(reinterpret_cast<void**>(&inverses), bytes, stream));
    if (o.rows > 0) Backward<T><<<Blocks(o.rows, 1), kThreads, 0, stream>>>(o, inverses);
    const cudaError_t launched = cudaGetLastError();
    if (launched == cudaSuccess)
      SumColumns<T>(WeightTerm<T>{o, inverses}, grad_weight, o.rows, stream);
    CheckCuda(cudaFreeAsync(inverses, stream));
    CheckCuda(launched);
  }
};

}  // namespace rms_norm

REGISTER_KERNEL(rms_norm, rms_norm::ForwardKernel, CUDA, F16, BF16, F32, F64);
REGISTER_KERNEL(rms_norm_backward, rms_norm::BackwardKernel, CUDA, F16, BF16, F32, F64);

}  // namespace openautoglm::kernels

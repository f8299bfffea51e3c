// gelu(x + bias) and its gradient, one element for each thread at a time.
#include <string_view>

#include "../column_sums_cuda.h"

namespace openautoglm::kernels {
namespace bias_gelu {

template <class C, bool kTanh>
struct Gelu {
  static constexpr C kTwoK = C(1.59576912160573071);  // 2 sqrt(2 / pi)
  static constexpr C kCube = C(0.044715);
  static constexpr C kPeak = C(0.398942280401432678);  // 1 / sqrt(2 pi)
  static constexpr C kRootHalf = C(0.707106781186547524);

  static __device__ C Gate(C u) {
    if constexpr (kTanh) {
      return C(1) / (C(1) + exp(-kTwoK * u * (C(1) + kCube * u * u)));
    } else {
      return C(0.5) * erfc(-u * kRootHalf);  // keeps the lower tail, unlike 1 + erf
    }
  }
  static __device__ C Value(C u) { return u * Gate(u); }
  static __device__ C Slope(C u) {
    const C gate = Gate(u);
    if constexpr (kTanh) {
      return gate + u * gate * (C(1) - gate) * kTwoK * (C(1) + C(3) * kCube * u * u);
    } else {
      return gate + u * kPeak * exp(C(-0.5) * u * u);
    }
  }
};

template <class T>
struct Operands {
  const T* grad;  // null in forward
  const T* x;
  const T* bias;
  T* out;  // forward: the result; backward: grad_x
  Rows grad_rows;
  Rows x_rows;
  Rows out_rows;
  int64_t bias_step;
  int64_t rows;
  int64_t size;

  __device__ Compute<T> At(int64_t r, int64_t i) const {
    return Wide(x[x_rows.Offset(r) + i * x_rows.step]) + Wide(bias[i * bias_step]);
  }
};

template <class T, bool kTanh>
__global__ void Forward(Operands<T> o) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < o.rows * o.size;
       k += stride) {
    const int64_t r = k / o.size, i = k % o.size;
    o.out[o.out_rows.Offset(r) + i * o.out_rows.step] =
        Narrow<T>(Gelu<Compute<T>, kTanh>::Value(o.At(r, i)));
  }
}

// Rows that lie side by side on 16-byte boundaries.
template <class T, bool kTanh>
__global__ void ForwardPacked(Operands<T> o) {
  using P = Pack<T>;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t packs = o.rows * o.size / P::kCount;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < packs;
       k += stride) {
    P p = reinterpret_cast<const P*>(o.x)[k];
    const int64_t i = k * P::kCount % o.size;
#pragma unroll
    for (int j = 0; j < P::kCount; ++j) {
      p.items[j] = Narrow<T>(
          Gelu<Compute<T>, kTanh>::Value(Wide(p.items[j]) + Wide(o.bias[(i + j) * o.bias_step])));
    }
    reinterpret_cast<P*>(o.out)[k] = p;
  }
}

template <class T, bool kTanh>
struct BiasTerm {
  Operands<T> o;
  __device__ Compute<T> operator()(int64_t r, int64_t i) const {
    return Wide(o.grad[o.grad_rows.Offset(r) + i * o.grad_rows.step]) *
           Gelu<Compute<T>, kTanh>::Slope(o.At(r, i));
  }
};

template <class T, bool kTanh>
__global__ void Backward(BiasTerm<T, kTanh> term) {
  const Operands<T>& o = term.o;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; k < o.rows * o.size;
       k += stride) {
    const int64_t r = k / o.size, i = k % o.size;
    o.out[o.out_rows.Offset(r) + i * o.out_rows.step] = Narrow<T>(term(r, i));
  }
}

template <class T>
Operands<T> Read(const TensorView& x, const TensorView& bias, const TensorView& out) {
  Operands<T> o{};
  o.x = static_cast<const T*>(x.bytes());
  o.x_rows = RowsOf(x);
  o.bias = static_cast<const T*>(bias.bytes());
  o.bias_step = bias.stride(0);
  o.out = static_cast<T*>(out.bytes());
  o.out_rows = RowsOf(out);
  o.rows = CountRows(x);
  o.size = x.size(-1);
  return o;
}

inline bool Check(const TensorView& x, const TensorView& bias, std::string_view approximate,
                  const TensorView& out) {
  OAG_CHECK_SAME_SHAPE(out, x);
  OAG_CHECK_SAME_DTYPE(out, x);
  OAG_CHECK_SAME_DTYPE(bias, x);
  OAG_CHECK_RANK(bias, 1);
  OAG_CHECK_SIZE(bias, 0, x.size(-1));
  OAG_CHECK(approximate == "none" || approximate == "tanh", "approximate must be none or tanh",
            approximate);
  return approximate == "tanh";
}

struct ForwardKernel {
  static constexpr int kPriority = kCudaPriority;
  static constexpr int kMinSm = 80;

  static void forward(TensorView x, TensorView bias, std::string_view approximate, TensorView out) {
    const bool tanh = Check(x, bias, approximate, out);
    if (x.numel() == 0) return;
    VisitFloat(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      tanh ? Launch<T, true>(x, bias, out) : Launch<T, false>(x, bias, out);
    });
  }

 private:
  template <class T, bool kTanh>
  static void Launch(TensorView x, TensorView bias, TensorView out) {
    const Operands<T> o = Read<T>(x, bias, out);
    const cudaStream_t stream = CurrentStream(x.device());
    const bool packed = x.is_contiguous() && out.is_contiguous() && o.size % Pack<T>::kCount == 0 &&
                        IsAligned(o.x) && IsAligned(o.out);
    if (packed) {
      ForwardPacked<T, kTanh>
          <<<Blocks(x.numel(), kThreads * Pack<T>::kCount), kThreads, 0, stream>>>(o);
    } else {
      Forward<T, kTanh><<<Blocks(x.numel(), kThreads), kThreads, 0, stream>>>(o);
    }
    CheckCuda(cudaGetLastError());
  }
};

struct BackwardKernel {
  static constexpr int kPriority = kCudaPriority;
  static constexpr int kMinSm = 80;

  static void forward(TensorView grad, TensorView x, TensorView bias, std::string_view approximate,
                      TensorView grad_x, TensorView grad_bias) {
    const bool tanh = Check(x, bias, approximate, grad_x);
    OAG_CHECK_SAME_SHAPE(grad, x);
    OAG_CHECK_SAME_DTYPE(grad, x);
    OAG_CHECK_SAME_SHAPE(grad_bias, bias);
    OAG_CHECK_SAME_DTYPE(grad_bias, bias);
    if (x.size(-1) == 0) return;
    VisitFloat(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      tanh ? Launch<T, true>(grad, x, bias, grad_x, grad_bias)
           : Launch<T, false>(grad, x, bias, grad_x, grad_bias);
    });
  }

 private:
  template <class T, bool kTanh>
  static void Launch(TensorView grad, TensorView x, TensorView bias, TensorView grad_x,
                     TensorView grad_bias) {
    BiasTerm<T, kTanh> term{Read<T>(x, bias, grad_x)};
    term.o.grad = static_cast<const T*>(grad.bytes());
    term.o.grad_rows = RowsOf(grad);
    const cudaStream_t stream = CurrentStream(x.device());
    Backward<T, kTanh><<<Blocks(x.numel(), kThreads), kThreads, 0, stream>>>(term);
    CheckCuda(cudaGetLastError());
    SumColumns<T>(term, grad_bias, term.o.rows, stream);
  }
};

}  // namespace bias_gelu

REGISTER_KERNEL(bias_gelu, bias_gelu::ForwardKernel, CUDA, F16, BF16, F32, F64);
REGISTER_KERNEL(bias_gelu_backward, bias_gelu::BackwardKernel, CUDA, F16, BF16, F32, F64);

}  // namespace openautoglm::kernels

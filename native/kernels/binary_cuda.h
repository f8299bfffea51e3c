// An elementwise CUDA kernel with two inputs and one factor.
#ifndef OPENAUTOGLM_KERNELS_BINARY_CUDA_H_
#define OPENAUTOGLM_KERNELS_BINARY_CUDA_H_

#include "cuda.h"

namespace openautoglm::kernels {

// The dimensions of a broadcast, outermost first, with the steps of x, y and out.
struct BroadcastAxes {
  int64_t sizes[kMaxAxes];
  int64_t steps[kMaxAxes][3];
  int count;
};

constexpr int kInFlight = 4;  // packs a thread loads before it uses the first

template <class Op, class T>
__global__ void BinaryPacked(const T* x, const T* y, T* out, int64_t size, Compute<T> factor) {
  using P = Pack<T>;
  const P* xs = reinterpret_cast<const P*>(x);
  const P* ys = reinterpret_cast<const P*>(y);
  const int64_t packs = size / P::kCount;
  const int64_t tile = static_cast<int64_t>(kInFlight) * kThreads;
  for (int64_t start = blockIdx.x * tile; start < packs; start += gridDim.x * tile) {
    P a[kInFlight], b[kInFlight];
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      const int64_t i = start + u * kThreads + threadIdx.x;
      if (i < packs) a[u] = xs[i];
      if (i < packs) b[u] = ys[i];
    }
#pragma unroll
    for (int u = 0; u < kInFlight; ++u) {
      const int64_t i = start + u * kThreads + threadIdx.x;
#pragma unroll
      for (int k = 0; k < P::kCount; ++k)
        a[u].items[k] = Narrow<T>(Op::Apply(Wide(a[u].items[k]), Wide(b[u].items[k]), factor));
      if (i < packs) reinterpret_cast<P*>(out)[i] = a[u];
    }
  }
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (int64_t i = packs * P::kCount + first; i < size; i += stride) {
    out[i] = Narrow<T>(Op::Apply(Wide(x[i]), Wide(y[i]), factor));
  }
}

template <class Op, class T>
__global__ void BinaryStrided(const T* x, const T* y, T* out, BroadcastAxes axes, int64_t size,
                              Compute<T> factor) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += stride) {
    int64_t rest = i, at_x = 0, at_y = 0, at_out = 0;
    for (int k = axes.count - 1; k >= 0; --k) {
      const int64_t index = rest % axes.sizes[k];
      rest /= axes.sizes[k];
      at_x += index * axes.steps[k][0];
      at_y += index * axes.steps[k][1];
      at_out += index * axes.steps[k][2];
    }
    out[at_out] = Narrow<T>(Op::Apply(Wide(x[at_x]), Wide(y[at_y]), factor));
  }
}

inline int64_t BroadcastStep(const char* name, const TensorView& tensor, const TensorView& out,
                             int dim) {
  const int own = dim - (out.rank() - tensor.rank());
  if (own < 0) return 0;
  if (tensor.size(own) == out.size(dim)) return tensor.stride(own);
  OAG_CHECK(tensor.size(own) == 1,
            std::string(name) + " must broadcast to shape " + out.shape_text(),
            "shape " + tensor.shape_text());
  return 0;
}

inline BroadcastAxes AxesOf(const TensorView& x, const TensorView& y, const TensorView& out) {
  BroadcastAxes axes{};
  for (int dim = 0; dim < out.rank(); ++dim) {
    const int64_t size = out.size(dim);
    const int64_t steps[3] = {BroadcastStep("x", x, out, dim), BroadcastStep("y", y, out, dim),
                              out.stride(dim)};
    if (size == 1) continue;
    const int last = axes.count - 1;
    bool continues = last >= 0;
    for (int k = 0; continues && k < 3; ++k) continues = axes.steps[last][k] == steps[k] * size;
    if (!continues) {
      OAG_CHECK(axes.count < kMaxAxes, "at most 8 dimensions that are not one behind the other",
                out.rank());
      axes.sizes[axes.count++] = 1;
    }
    const int at = axes.count - 1;
    axes.sizes[at] *= size;
    for (int k = 0; k < 3; ++k) axes.steps[at][k] = steps[k];
  }
  return axes;
}

template <class Op>
struct BinaryCuda {
  static constexpr int kPriority = kCudaPriority;
  static constexpr int kMinSm = 80;

  static void forward(TensorView x, TensorView y, double factor, TensorView out) {
    OAG_CHECK_SAME_DTYPE(y, x);
    OAG_CHECK_SAME_DTYPE(out, x);
    OAG_CHECK(x.rank() <= out.rank() && y.rank() <= out.rank(),
              "out must have the shape x and y broadcast to", "shape " + out.shape_text());
    const BroadcastAxes axes = AxesOf(x, y, out);
    if (out.numel() == 0) return;
    VisitFloat(x.dtype(), [&](auto zero) { Launch<decltype(zero)>(x, y, factor, out, axes); });
  }

 private:
  template <class T>
  static void Launch(TensorView x, TensorView y, double factor, TensorView out,
                     const BroadcastAxes& axes) {
    const T* a = static_cast<const T*>(x.bytes());
    const T* b = static_cast<const T*>(y.bytes());
    T* c = static_cast<T*>(out.bytes());
    const int64_t size = out.numel();
    const auto wide = static_cast<Compute<T>>(factor);
    const cudaStream_t stream = CurrentStream(out.device());
    const int64_t* steps = axes.steps[0];
    const bool unit =
        axes.count == 0 || (axes.count == 1 && steps[0] == 1 && steps[1] == 1 && steps[2] == 1);
    if (unit && IsAligned(a) && IsAligned(b) && IsAligned(c)) {
      BinaryPacked<Op, T>
          <<<Blocks(size, kThreads * kInFlight * Pack<T>::kCount), kThreads, 0, stream>>>(
              a, b, c, size, wide);
    } else {
      BinaryStrided<Op, T>
          <<<Blocks(size, kThreads), kThreads, 0, stream>>>(a, b, c, axes, size, wide);
    }
    CheckCuda(cudaGetLastError());
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_BINARY_CUDA_H_

// What the CUDA kernels share: 16-byte vectors, conversions, sums over a block, launch sizes,
// strided rows.
//
// f16 and bf16 are computed in f32. A kernel takes any size and any grid.
#ifndef OPENAUTOGLM_KERNELS_CUDA_H_
#define OPENAUTOGLM_KERNELS_CUDA_H_

#include <openautoglm/op.h>

namespace openautoglm::kernels {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr int kMaxBlocks = 65535;
constexpr int kCudaPriority = -10;
constexpr int kMaxAxes = 8;

template <class T>
struct ComputeOf {
  using type = float;
};
template <>
struct ComputeOf<double> {
  using type = double;
};
template <class T>
using Compute = typename ComputeOf<T>::type;

template <class T>
__device__ inline Compute<T> Wide(T value) {
  return static_cast<Compute<T>>(value);
}

template <class T>
__device__ inline T Narrow(Compute<T> value) {
  return static_cast<T>(value);
}

// Elements that are loaded and stored as 16 bytes.
template <class T>
struct alignas(16) Pack {
  static constexpr int kCount = 16 / sizeof(T);
  T items[kCount];
};

inline bool IsAligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % 16 == 0;
}

inline int Blocks(int64_t work, int64_t per_block) {
  const int64_t blocks = (work + per_block - 1) / per_block;
  return static_cast<int>(blocks < 1 ? 1 : blocks > kMaxBlocks ? kMaxBlocks : blocks);
}

template <class C>
struct Sum {
  static __device__ C Start() { return C(0); }
  __device__ C operator()(C a, C b) const { return a + b; }
};

template <class C>
struct Most {
  static __device__ C Start() { return -static_cast<C>(INFINITY); }
  __device__ C operator()(C a, C b) const { return b > a ? b : a; }
};

// Combines a value of every thread; every thread gets the result. All threads of the block must
// call it.
template <class Combine, class C>
__device__ C OverBlock(C value) {
  __shared__ C partial[kThreads / kWarp];
  __shared__ C result;
  const Combine combine;
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value = combine(value, __shfl_down_sync(0xffffffffU, value, step));
  }
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int i = 1; i < kThreads / kWarp; ++i) value = combine(value, partial[i]);
    result = value;
  }
  __syncthreads();
  const C all = result;
  __syncthreads();  // the next call writes `result` again
  return all;
}

// The threads that work on one row: a warp of their own, or the whole block.
struct WarpRow {
  static constexpr int kWidth = kWarp;
  static constexpr int kPerBlock = kThreads / kWarp;

  static __device__ int Lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  static __device__ int64_t Row() {
    return static_cast<int64_t>(blockIdx.x) * kPerBlock + threadIdx.x / kWarp;
  }
  static __device__ int64_t Rows() { return static_cast<int64_t>(gridDim.x) * kPerBlock; }

  template <class Combine, class C>
  static __device__ C Over(C value) {
    const Combine combine;
    for (int step = kWarp / 2; step > 0; step /= 2) {
      value = combine(value, __shfl_xor_sync(0xffffffffU, value, step));
    }
    return value;
  }
};

struct BlockRow {
  static constexpr int kWidth = kThreads;
  static constexpr int kPerBlock = 1;

  static __device__ int Lane() { return static_cast<int>(threadIdx.x); }
  static __device__ int64_t Row() { return blockIdx.x; }
  static __device__ int64_t Rows() { return gridDim.x; }

  template <class Combine, class C>
  static __device__ C Over(C value) {
    return OverBlock<Combine>(value);
  }
};

// Where row `r` of a tensor [..., n] starts, for any strides of the leading dimensions.
struct Rows {
  int64_t sizes[kMaxAxes];
  int64_t steps[kMaxAxes];
  int64_t step;  // between elements of a row
  int axes;

  __device__ int64_t Offset(int64_t r) const {
    int64_t offset = 0;
    for (int i = axes - 1; i >= 0; --i) {
      offset += (r % sizes[i]) * steps[i];
      r /= sizes[i];
    }
    return offset;
  }
};

inline Rows RowsOf(const TensorView& tensor) {
  Rows rows{};
  rows.step = tensor.size(-1) <= 1 ? 1 : tensor.stride(-1);
  for (int dim = 0; dim + 1 < tensor.rank(); ++dim) {
    const int64_t size = tensor.size(dim), step = tensor.stride(dim);
    if (size == 1) continue;
    const int last = rows.axes - 1;
    if (last >= 0 && rows.steps[last] == step * size) {
      rows.sizes[last] *= size;
      rows.steps[last] = step;
      continue;
    }
    OAG_CHECK(rows.axes < kMaxAxes, "at most 8 dimensions that are not one behind the other",
              tensor.rank());
    rows.sizes[rows.axes] = size;
    rows.steps[rows.axes++] = step;
  }
  return rows;
}

inline int64_t CountRows(const TensorView& tensor) {
  int64_t rows = 1;
  for (int dim = 0; dim + 1 < tensor.rank(); ++dim) rows *= tensor.size(dim);
  return rows;
}

// Calls body(zero of the element type) for the dtype.
template <class Body>
void VisitFloat(DLDataType dtype, Body body) {
  if (dtype.bits == 64) return body(double{});
  if (dtype.bits == 32) return body(float{});
  dtype.code == kDLBfloat ? body(__nv_bfloat16{}) : body(__half{});
}

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_CUDA_H_

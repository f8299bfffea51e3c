// The sum over rows of a product that a functor gives, as a CUDA kernel: one thread for each
// column.
#ifndef OPENAUTOGLM_KERNELS_COLUMN_SUMS_CUDA_H_
#define OPENAUTOGLM_KERNELS_COLUMN_SUMS_CUDA_H_

#include "cuda.h"

namespace openautoglm::kernels {

// A block takes kWarp columns; its warps share the rows, so that neighbours read neighbours. The
// order of the sum does not depend on the grid: the same input gives the same bits.
template <class T, class Term>
__global__ void ColumnSums(Term term, T* out, int64_t out_step, int64_t rows, int64_t size) {
  using C = Compute<T>;
  constexpr int kLines = kThreads / kWarp;
  __shared__ C partial[kLines][kWarp];
  const int lane = threadIdx.x % kWarp, line = threadIdx.x / kWarp;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kWarp; first < size;
       first += static_cast<int64_t>(gridDim.x) * kWarp) {
    const int64_t column = first + lane;
    C sum = 0;
    if (column < size) {
      for (int64_t r = line; r < rows; r += kLines) sum += term(r, column);
    }
    partial[line][lane] = sum;
    __syncthreads();
    if (line == 0 && column < size) {
      for (int i = 1; i < kLines; ++i) sum += partial[i][lane];
      out[column * out_step] = Narrow<T>(sum);
    }
    __syncthreads();
  }
}

template <class T, class Term>
void SumColumns(const Term& term, const TensorView& out, int64_t rows, cudaStream_t stream) {
  const int64_t size = out.size(0);
  ColumnSums<T><<<Blocks(size, kWarp), kThreads, 0, stream>>>(term, static_cast<T*>(out.bytes()),
                                                              out.stride(0), rows, size);
  CheckCuda(cudaGetLastError());
}

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_COLUMN_SUMS_CUDA_H_

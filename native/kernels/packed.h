// Rows times weights that lie packed in blocks of 16 outputs: how the work is cut into tiles.
//
// A block's weights follow the depth, 16 outputs side by side at every step, so a tile reads each
// of them once for all its rows and no sum crosses lanes. Every output is one chain of sums along
// the depth whatever the tile, which makes a row's result independent of the rows beside it.
#ifndef OPENAUTOGLM_KERNELS_PACKED_H_
#define OPENAUTOGLM_KERNELS_PACKED_H_

#include "simd.h"

namespace openautoglm::kernels {

constexpr int kBlock = 16;  // outputs of a block

// Plain data: everything is borrowed for the call, and compact.
struct LinearCall {
  const float* x;         // (rows, depth)
  const void* weight;     // (blocks, depth / group, 16, group)
  const float* scale;     // (blocks, 16), or null
  const float* bias;      // (blocks, 16), or null
  const float* residual;  // (rows, blocks, 16), or null
  float* out;             // (rows, blocks, 16)
  int64_t rows;
  int64_t depth;
  int64_t blocks;
};

namespace OAG_SIMD {

constexpr int kParts = kBlock * 4 / OAG_VECTOR_BYTES;  // vectors of a block's f32 outputs
constexpr int kMostRows = OAG_VECTOR_BYTES == 64 ? 8 : OAG_VECTOR_BYTES == 32 ? 6 : 3;

// The blocks a tile of so many rows takes at once: as many as the registers hold sums for.
constexpr int BlocksOf(int rows) {
  constexpr int kWide[] = {8, 8, 8, 6, 4, 4, 3, 3};
  constexpr int kNarrow[] = {4, 3, 2, 1, 1, 1};
  return OAG_VECTOR_BYTES == 64 ? kWide[rows - 1] : OAG_VECTOR_BYTES == 32 ? kNarrow[rows - 1] : 1;
}

constexpr int64_t kChunk = 64;  // rows that share a tile's weights while these are close

// Asks for the weights of the next tile while this one's are used. A single row waits for nothing else, and the CPU's
// own prefetching does better there.
template <int kRows>
OAG_INLINE void AskFor(const void* next) {
  if constexpr (kRows > 1) __builtin_prefetch(next);
}

OAG_INLINE void Finish(const LinearCall& call, int64_t row, int64_t block, Vector<float> sum, int part) {
  const int64_t column = block * kBlock + part * kLanes<float>;
  const int64_t at = row * call.blocks * kBlock + column;
  if (call.bias != nullptr) sum += Load<float>(call.bias + column);
  if (call.residual != nullptr) sum += Load<float>(call.residual + at);
  Store<float>(call.out + at, sum);
}

// Math::Tile<rows, blocks>(call, prepared, row, block) computes that part of the output. A tile's weights serve all
// rows from `row` on before the next ones are read.
template <class Math, int kRows, int kBlocks>
void RunRows(const LinearCall& call, const typename Math::Rows& rows, int64_t row, int64_t stop, int64_t block) {
  for (; row + kRows <= stop; row += kRows) Math::template Tile<kRows, kBlocks>(call, rows, row, block);
  if constexpr (kRows > 1) {
    if (row < stop) RunRows<Math, kRows - 1, kBlocks>(call, rows, row, stop, block);
  }
}

template <class Math, int kRows>
void RunChunk(const LinearCall& call, const typename Math::Rows& rows, int64_t row, int64_t stop, int64_t begin,
              int64_t end) {
  if constexpr (kRows > 1) {
    if (stop - row < kRows) return RunChunk<Math, kRows - 1>(call, rows, row, stop, begin, end);
  }
  constexpr int kBlocks = BlocksOf(kRows);
  for (; begin + kBlocks <= end; begin += kBlocks) RunRows<Math, kRows, kBlocks>(call, rows, row, stop, begin);
  for (; begin < end; ++begin) RunRows<Math, kRows, 1>(call, rows, row, stop, begin);
}

// Computes the outputs of some blocks, of all rows.
template <class Math>
void RunBlocks(const LinearCall& call, const typename Math::Rows& rows, int64_t begin, int64_t end) {
  for (int64_t row = 0; row < call.rows; row += kChunk) {
    const int64_t stop = row + kChunk < call.rows ? row + kChunk : call.rows;
    RunChunk<Math, kMostRows>(call, rows, row, stop, begin, end);
  }
}

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_PACKED_H_

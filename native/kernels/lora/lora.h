// The inner loops of `lora`: rows of one adapter through its two thin matrices.
//
// Every sum is one chain of its own, in the same order however many rows share a tile, which makes
// a row's result independent of the rows beside it.
#ifndef OPENAUTOGLM_KERNELS_LORA_LORA_H_
#define OPENAUTOGLM_KERNELS_LORA_LORA_H_

#include "../simd.h"

namespace openautoglm::kernels {

constexpr int kLoraRows = 4;    // of a tile
constexpr int kLoraRanks = 16;  // that are between the two matrices at a time

// Plain data: borrowed. Rows of one adapter, each wherever it lies.
struct LoraTile {
  const float* x[kLoraRows];  // (depth)
  float* out[kLoraRows];      // (width), to which the product is added
  int count;
  const float* a;  // (rank, depth)
  const float* b;  // (rank, width), rows b_step apart
  int64_t rank;
  int64_t depth;
  int64_t width;
  int64_t b_step;
};

using LoraRun = void (*)(const LoraTile& tile);

extern const LoraRun kLoraV3, kLoraV4;

namespace OAG_SIMD {

constexpr int kTogether = OAG_VECTOR_BYTES == 64 ? 4 : 2;  // ranks, and vectors of outputs, of one loop

// narrow[row][rank] = x[row] . a[rank], for kRanks of the ranks
template <int kRows, int kRanks>
OAG_INLINE void Narrow(const LoraTile& tile, int64_t first, float (*narrow)[kLoraRanks], int rank) {
  constexpr int kStep = kLanes<float>;
  const float* a = tile.a + first * tile.depth;
  Vector<float> sum[kRows][kRanks] = {};
  int64_t i = 0;
  for (; i + kStep <= tile.depth; i += kStep) {
    Vector<float> weight[kRanks];
    for (int k = 0; k < kRanks; ++k) weight[k] = Load<float>(a + k * tile.depth + i);
    for (int row = 0; row < kRows; ++row) {
      const Vector<float> x = Load<float>(tile.x[row] + i);
      for (int k = 0; k < kRanks; ++k) sum[row][k] += x * weight[k];
    }
  }
  const int rest = static_cast<int>(tile.depth - i);
  for (int row = 0; row < kRows; ++row) {
    for (int k = 0; k < kRanks; ++k) {
      if (rest > 0) {
        const Vector<float> x = Load<float>(tile.x[row] + i, 1, rest);
        sum[row][k] += x * Load<float>(a + k * tile.depth + i, 1, rest);
      }
      narrow[row][rank + k] = SumOf<float>(sum[row][k]);
    }
  }
}

// out[row] += narrow[row] times `ranks` rows of b, for kVectors vectors of outputs
template <int kRows, int kVectors>
OAG_INLINE void Widen(const LoraTile& tile, const float* b, const float (*narrow)[kLoraRanks], int ranks,
                      int64_t at) {
  constexpr int kStep = kLanes<float>;
  Vector<float> sum[kRows][kVectors] = {};
  for (int k = 0; k < ranks; ++k) {
    for (int v = 0; v < kVectors; ++v) {
      const Vector<float> weight = Load<float>(b + k * tile.b_step + at + v * kStep);
      for (int row = 0; row < kRows; ++row) sum[row][v] += weight * narrow[row][k];
    }
  }
  for (int row = 0; row < kRows; ++row) {
    for (int v = 0; v < kVectors; ++v) {
      float* out = tile.out[row] + at + v * kStep;
      Store<float>(out, Load<float>(out) + sum[row][v]);
    }
  }
}

template <int kRows>
OAG_INLINE void WidenRest(const LoraTile& tile, const float* b, const float (*narrow)[kLoraRanks], int ranks,
                          int64_t at) {
  const int rest = static_cast<int>(tile.width - at);
  Vector<float> sum[kRows] = {};
  for (int k = 0; k < ranks; ++k) {
    const Vector<float> weight = Load<float>(b + k * tile.b_step + at, 1, rest);
    for (int row = 0; row < kRows; ++row) sum[row] += weight * narrow[row][k];
  }
  for (int row = 0; row < kRows; ++row) {
    float* out = tile.out[row] + at;
    Store<float>(out, 1, rest, Load<float>(out, 1, rest) + sum[row]);
  }
}

template <int kRows>
void RunLoraRows(const LoraTile& tile) {
  constexpr int kStep = kLanes<float>;
  float narrow[kRows][kLoraRanks];
  for (int64_t first = 0; first < tile.rank; first += kLoraRanks) {
    const int64_t left = tile.rank - first;
    const int ranks = static_cast<int>(left < kLoraRanks ? left : kLoraRanks);
    int rank = 0;
    for (; rank + kTogether <= ranks; rank += kTogether) {
      Narrow<kRows, kTogether>(tile, first + rank, narrow, rank);
    }
    for (; rank < ranks; ++rank) Narrow<kRows, 1>(tile, first + rank, narrow, rank);
    const float* b = tile.b + first * tile.b_step;
    int64_t at = 0;
    for (; at + kTogether * kStep <= tile.width; at += kTogether * kStep) {
      Widen<kRows, kTogether>(tile, b, narrow, ranks, at);
    }
    for (; at + kStep <= tile.width; at += kStep) Widen<kRows, 1>(tile, b, narrow, ranks, at);
    if (at < tile.width) WidenRest<kRows>(tile, b, narrow, ranks, at);
  }
}

inline void RunLora(const LoraTile& tile) {
  static_assert(kLoraRows == 4, "a tile has 1 to 4 rows");
  if (tile.count == 1) return RunLoraRows<1>(tile);
  if (tile.count == 2) return RunLoraRows<2>(tile);
  if (tile.count == 3) return RunLoraRows<3>(tile);
  RunLoraRows<4>(tile);
}

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LORA_LORA_H_

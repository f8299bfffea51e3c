// The inner loops of `linear_int4`: weights in 4 bits, 32 steps of the depth to a group with a grid of its own.
//
// A weight n of a group with the grid (m, z) is the number m * n - m * z, where m * z is brought between 15 * m - 127 and
// 128 so that it is an int8. Rows, sums and scales are those of `linear_int8`: sums are exact integers, and a row's
// result depends on nothing but the row. Many rows share a tile that is brought into int8 once. A row alone is
// multiplied by the n as they lie, and m and m * z come in group by group.
#ifndef OPENAUTOGLM_KERNELS_LINEAR_INT4_LINEAR_INT4_H_
#define OPENAUTOGLM_KERNELS_LINEAR_INT4_LINEAR_INT4_H_

#include "../linear_int8/linear_int8.h"

namespace openautoglm::kernels {

constexpr int kGroup = 32;                            // steps of the depth with one grid
constexpr int64_t kGroupBytes = kGroup * kBlock / 2;  // of a block's weights
constexpr int kMostBlocks = 8;                        // of a tile
constexpr int64_t kManyRows = 8;                      // from which on a tile is kept in int8 for all of them

// Rows, and what weights are beside `call.weight`.
struct Int4Rows {
  Int8Rows rows;
  const uint8_t* grid;  // (blocks, groups, 16): m - 1 in the low half, z in the high one
  int32_t* sums;        // (groups): of the last row's integers
  int8_t* room;         // (kMostBlocks, depth, 16): a tile in int8
};

struct LinearInt4Table {
  void (*prepare)(const LinearCall& call, const Int4Rows& rows);
  void (*run)(const LinearCall& call, const Int4Rows& rows, int64_t begin, int64_t end);
};

extern const LinearInt4Table kLinearInt4V3, kLinearInt4Dot;

namespace OAG_SIMD {

inline void PrepareInt4(const LinearCall& call, const Int4Rows& rows) {
  RoundRowsToInt8(call, rows.rows);
  if (call.rows == 0) return;
  const int8_t* last = rows.rows.whole + (call.rows - 1) * call.depth;
  for (int64_t g = 0; g < call.depth / kGroup; ++g) {
    int32_t sum = 0;
    for (int i = 0; i < kGroup; ++i) sum += last[g * kGroup + i];
    rows.sums[g] = sum;
  }
}

struct LinearInt4Math {
  using Rows = Int4Rows;
  using Whole = LinearInt8Math;

#if defined(OAG_SIMD_V4)
  static OAG_INLINE U32Lanes Unsigned(I8Quarter bytes) {
    return (U32Lanes)_mm512_maskz_cvtepu8_epi32(0xffff, (__m128i)bytes);
  }
#elif defined(OAG_SIMD_V3)
  static OAG_INLINE U32Lanes Unsigned(I8Quarter bytes) {
    return (U32Lanes)_mm256_cvtepu8_epi32(_mm_set_epi64x(0, (int64_t)bytes));
  }
#else
  static OAG_INLINE U32Lanes Unsigned(I8Quarter bytes) { return __builtin_convertvector(bytes, U32Lanes) & 255U; }
#endif

  // A part of a block's grids, by output: m, and the m * z that is taken off.
  static OAG_INLINE void ReadGrid(const uint8_t* from, I32Lanes* m, I32Lanes* less) {
    I8Quarter bytes;
    __builtin_memcpy(&bytes, from, sizeof bytes);
    const U32Lanes both = Unsigned(bytes);
    const I32Lanes times = (I32Lanes)(both & 15U) + 1, least = (times << 4) - times - 127;
    const I32Lanes whole = times * (I32Lanes)(both >> 4), some = whole > 128 ? I32Lanes{} + 128 : whole;
    *m = times;
    *less = some < least ? least : some;
  }

  // The even steps of a group are the low halves of its bytes, the odd ones the high halves.
  static OAG_INLINE I16Lanes Half(I16Lanes raw, int step) {
    return (step % 2 == 0 ? raw : raw >> 4) & static_cast<int16_t>(0x0f0f);
  }

#if defined(OAG_SIMD_V3)
  using Sums = I16Lanes;  // 16 products of at most 15 * 127 fit
  static OAG_INLINE Sums MultiplyAdd(Sums sum, I16Lanes n, I32Lanes x) {
    return sum + (Sums)_mm256_maddubs_epi16((__m256i)n, (__m256i)x);
  }
  static OAG_INLINE I32Lanes Times(Sums sum, I32Lanes m) {
    return (I32Lanes)_mm256_madd_epi16((__m256i)sum, (__m256i)(m | m << 16));
  }
#else
  using Sums = I32Lanes;
  static OAG_INLINE Sums MultiplyAdd(Sums sum, I16Lanes n, I32Lanes x) {
    return Whole::MultiplyAdd(sum, (I8Lanes)n, x);
  }
  static OAG_INLINE I32Lanes Times(Sums sum, I32Lanes m) { return sum * m; }
#endif

  // A row alone waits for its weights, so they are read as they lie: block after block.
  static OAG_INLINE void SumInOrder(const Rows& rows, const int8_t* x, const uint8_t* weight, const uint8_t* grid,
                                    int64_t groups, I32Lanes* total) {
    for (int64_t g = 0; g < groups; ++g) {
      Sums sum[kParts] = {};
      for (int step = 0; step < kGroup / 4; ++step) {
        int32_t four;
        __builtin_memcpy(&four, x + g * kGroup + step * 4, sizeof four);
        for (int p = 0; p < kParts; ++p) {
          I16Lanes raw;
          __builtin_memcpy(&raw, weight + g * kGroupBytes + (step / 2 * kParts + p) * OAG_VECTOR_BYTES, sizeof raw);
          sum[p] = MultiplyAdd(sum[p], Half(raw, step), four - I32Lanes{});
        }
      }
      for (int p = 0; p < kParts; ++p) {
        I32Lanes m, less;
        ReadGrid(grid + g * kBlock + p * kLanes<float>, &m, &less);
        total[p] += Times(sum[p], m) - less * rows.sums[g];
      }
    }
  }

  // A part of a block's grids as its weights take them: each m twice in 16 bits, what is taken off four times in 8.
  struct Grid {
    I16Lanes times;
    I8Lanes less;
  };

  static OAG_INLINE Grid SpreadGrid(const uint8_t* from) {
    I32Lanes m, less;
    ReadGrid(from, &m, &less);
    const I32Lanes byte = less & 255, twice = byte | byte << 8;
    return {(I16Lanes)(m | m << 16), (I8Lanes)(twice | twice << 16)};
  }

  // One step's weights in int8. Two are multiplied at once: 16 * 15 stays in a byte.
  static OAG_INLINE I8Lanes Widened(const uint8_t* group, int part, int step, const Grid& grid) {
    I16Lanes raw;
    __builtin_memcpy(&raw, group + (step / 2 * kParts + part) * OAG_VECTOR_BYTES, sizeof raw);
    return (I8Lanes)(Half(raw, step) * grid.times) - grid.less;
  }

  static OAG_INLINE void Widen(const uint8_t* weight, const uint8_t* grids, int64_t groups, int8_t* to) {
    for (int64_t g = 0; g < groups; ++g) {
      for (int p = 0; p < kParts; ++p) {
        const Grid grid = SpreadGrid(grids + g * kBlock + p * kLanes<float>);
        for (int step = 0; step < kGroup / 4; ++step) {
          const I8Lanes whole = Widened(weight + g * kGroupBytes, p, step, grid);
          __builtin_memcpy(to + ((g * kGroup / 4 + step) * kParts + p) * OAG_VECTOR_BYTES, &whole, sizeof whole);
        }
      }
    }
  }

  // For few rows: weights are widened for each tile, and kept nowhere.
  template <int kRows, int kBlocks>
  static OAG_INLINE void SumFew(const LinearCall& call, const int8_t* x, const uint8_t* weight, const uint8_t* grids,
                                I32Lanes (&sum)[kRows][kBlocks * kParts]) {
    const int64_t groups = call.depth / kGroup;
    for (int64_t g = 0; g < groups; ++g) {
      Grid grid[kBlocks * kParts];
      for (int b = 0; b < kBlocks * kParts; ++b) {
        grid[b] = SpreadGrid(grids + (b / kParts * groups + g) * kBlock + b % kParts * kLanes<float>);
      }
      for (int step = 0; step < kGroup / 4; ++step) {
        I8Lanes w[kBlocks * kParts];
        for (int b = 0; b < kBlocks * kParts; ++b) {
          const uint8_t* group = weight + (b / kParts * groups + g) * kGroupBytes;
          w[b] = Whole::Weights(Widened(group, b % kParts, step, grid[b]));
        }
        for (int r = 0; r < kRows; ++r) {
          int32_t four;
          __builtin_memcpy(&four, x + r * call.depth + g * kGroup + step * 4, sizeof four);
          const I32Lanes value = four - I32Lanes{};
          for (int b = 0; b < kBlocks * kParts; ++b) sum[r][b] = Whole::MultiplyAdd(sum[r][b], w[b], value);
        }
      }
    }
  }

  template <int kRows, int kBlocks>
  static OAG_INLINE void Tile(const LinearCall& call, const Rows& rows, int64_t row, int64_t block) {
    const int64_t groups = call.depth / kGroup, first = row / kChunk * kChunk;
    const int8_t* x = rows.rows.whole + row * call.depth;
    const uint8_t* weight = static_cast<const uint8_t*>(call.weight) + block * groups * kGroupBytes;
    const uint8_t* grid = rows.grid + block * groups * kBlock;
    I32Lanes sum[kRows][kBlocks * kParts] = {};
    if (kRows == 1 && call.rows - first == 1) {
      const uint32_t excess = Whole::Excess(rows.rows.sum[row]);  // which is taken off again
      for (int b = 0; b < kBlocks; ++b) {
        SumInOrder(rows, x, weight + b * groups * kGroupBytes, grid + b * groups * kBlock, groups, &sum[0][b * kParts]);
      }
      for (int b = 0; b < kBlocks * kParts; ++b) sum[0][b] = (I32Lanes)((U32Lanes)sum[0][b] + excess);
    } else if (call.rows - first < kManyRows) {
      SumFew<kRows, kBlocks>(call, x, weight, grid, sum);
    } else {
      for (int b = 0; b < kBlocks && row == first; ++b) {
        int8_t* to = rows.room + b * call.depth * kBlock;
        Widen(weight + b * groups * kGroupBytes, grid + b * groups * kBlock, groups, to);
      }
      Whole::Sum<kRows, kBlocks>(call, x, rows.room, {weight + kBlocks * groups * kGroupBytes, kBlock * 2}, sum);
    }
    Whole::FinishTile<kRows, kBlocks>(call, rows.rows, row, block, sum);
  }
};

inline void RunLinearInt4(const LinearCall& call, const Int4Rows& rows, int64_t begin, int64_t end) {
  RunBlocks<LinearInt4Math>(call, rows, begin, end);
}

inline constexpr LinearInt4Table kLinearInt4Table = {PrepareInt4, RunLinearInt4};

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LINEAR_INT4_LINEAR_INT4_H_

// The inner loops of `linear_bf16`: weights in bf16, two steps of the depth side by side.
//
// The rows are rounded to bf16 as the weights are; products are summed in f32.
#ifndef OPENAUTOGLM_KERNELS_LINEAR_BF16_LINEAR_BF16_H_
#define OPENAUTOGLM_KERNELS_LINEAR_BF16_LINEAR_BF16_H_

#include "../packed.h"

namespace openautoglm::kernels {

// `rounded` is room for the rows in bf16, (rows, depth).
using LinearBf16Prepare = void (*)(const LinearCall& call, BFloat16* rounded);
using LinearBf16Run = void (*)(const LinearCall& call, const BFloat16* rounded, int64_t begin, int64_t end);

struct LinearBf16Table {
  LinearBf16Prepare prepare;
  LinearBf16Run run;
};

extern const LinearBf16Table kLinearBf16V3, kLinearBf16V4, kLinearBf16Dot;

namespace OAG_SIMD {

inline void RoundRows(const LinearCall& call, BFloat16* rounded) {
  const int64_t count = call.rows * call.depth;
  int64_t i = 0;
  for (; i + kLanes<float> <= count; i += kLanes<float>) Store(rounded + i, Load<float>(call.x + i));
  for (; i < count; ++i) StoreOne(rounded + i, call.x[i]);
}

struct LinearBf16Math {
  struct Rows {
    const BFloat16* rounded;
  };

  // Both steps of a pair, as f32: the first lies in the low half of 32 bits.
  static OAG_INLINE Vector<float> First(U32Lanes pair) { return (Vector<float>)(pair << 16); }
  static OAG_INLINE Vector<float> Second(U32Lanes pair) { return (Vector<float>)(pair & 0xffff0000U); }

  static OAG_INLINE Vector<float> MultiplyAdd(Vector<float> sum, U32Lanes x, U32Lanes w) {
#if defined(__AVX512BF16__)
    return (Vector<float>)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)w);
#else
    sum += First(x) * First(w);
    return sum + Second(x) * Second(w);
#endif
  }

  template <int kRows, int kBlocks>
  static OAG_INLINE void Tile(const LinearCall& call, const Rows& rows, int64_t row, int64_t block) {
    const int64_t pairs = call.depth / 2;
    const BFloat16* x = rows.rounded + row * call.depth;
    const BFloat16* weight = static_cast<const BFloat16*>(call.weight) + block * call.depth * kBlock;
    Vector<float> sum[kRows][kBlocks * kParts] = {};
    for (int64_t k = 0; k < pairs; ++k) {
      U32Lanes w[kBlocks * kParts];
      for (int b = 0; b < kBlocks; ++b) {
        AskFor<kRows>(weight + ((b + kBlocks) * pairs + k) * kBlock * 2);
        for (int p = 0; p < kParts; ++p) {
          const BFloat16* from = weight + ((b * pairs + k) * kBlock + p * kLanes<float>) * 2;
          __builtin_memcpy(&w[b * kParts + p], from, sizeof(U32Lanes));
        }
      }
      for (int r = 0; r < kRows; ++r) {
        uint32_t pair;
        __builtin_memcpy(&pair, x + r * call.depth + k * 2, sizeof pair);
        const U32Lanes value = pair - U32Lanes{};
        for (int b = 0; b < kBlocks * kParts; ++b) sum[r][b] = MultiplyAdd(sum[r][b], value, w[b]);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int b = 0; b < kBlocks * kParts; ++b) {
        Finish(call, row + r, block + b / kParts, sum[r][b], b % kParts);
      }
    }
  }
};

inline void RunLinearBf16(const LinearCall& call, const BFloat16* rounded, int64_t begin, int64_t end) {
  RunBlocks<LinearBf16Math>(call, {rounded}, begin, end);
}

inline constexpr LinearBf16Table kLinearBf16Table = {RoundRows, RunLinearBf16};

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LINEAR_BF16_LINEAR_BF16_H_

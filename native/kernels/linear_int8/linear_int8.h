// The inner loops of `linear_int8`: weights in int8, four steps of the depth side by side.
//
// A row is rounded to int8 by its own largest value, so sums are exact integers and a row's result
// depends on nothing but the row. With dot-product instructions the weights' sign bit is flipped to
// make them unsigned, and 128 times the row's sum is taken off again.
#ifndef OPENAUTOGLM_KERNELS_LINEAR_INT8_LINEAR_INT8_H_
#define OPENAUTOGLM_KERNELS_LINEAR_INT8_LINEAR_INT8_H_

#include "../packed.h"

namespace openautoglm::kernels {

// Rows as integers: value = whole * unit.
struct Int8Rows {
  int8_t* whole;  // (rows, depth)
  float* unit;    // (rows): NaN where the row has one, or an infinity
  int32_t* sum;   // (rows): of the row's integers
};

// Beyond it a sum of products, each of at most 127 * 128, might leave 32 bits.
constexpr int64_t kDeepestInt8 = 1 << 17;

struct LinearInt8Table {
  void (*prepare)(const LinearCall& call, const Int8Rows& rows);
  void (*run)(const LinearCall& call, const Int8Rows& rows, int64_t begin, int64_t end);
};

extern const LinearInt8Table kLinearInt8V3, kLinearInt8Dot;

namespace OAG_SIMD {

using I32Lanes = Vector<int32_t>;  // sums that leave 32 bits on the way come back: they wrap
using I16Lanes = int16_t __attribute__((vector_size(OAG_VECTOR_BYTES)));
using I8Lanes = int8_t __attribute__((vector_size(OAG_VECTOR_BYTES)));
using I8Quarter = int8_t __attribute__((vector_size(OAG_VECTOR_BYTES / 4)));

constexpr float kLargest = 127.0F;
constexpr float kSmallestPeak = 1e-30F;  // rows below it are zero

// The whole number nearest to a value of at most 2^22, ties to even.
OAG_INLINE Vector<float> Nearest(Vector<float> value) {
  const Vector<float> shift = Splat<float>(12582912.0F);  // 1.5 * 2^23
  return (value + shift) - shift;
}

OAG_INLINE void RoundRow(const float* x, int64_t depth, int8_t* whole, float* unit, int32_t* sum) {
  constexpr int kStep = kLanes<float>;
  Vector<float> most{};
  Vector<float> poison{};  // NaN as soon as one value is not finite
  int64_t i = 0;
  for (; i + kStep <= depth; i += kStep) {
    const Vector<float> value = Load<float>(x + i);
    const Vector<float> size = Abs<float>(value);
    most = (size > most) ? size : most;
    poison += value * 0.0F;
  }
  float peak = MaxOf<float>(most);
  float bad = SumOf<float>(poison);
  for (int64_t k = i; k < depth; ++k) {
    const float size = __builtin_fabsf(x[k]);
    peak = size > peak ? size : peak;
    bad += x[k] * 0.0F;
  }
  *unit = peak / kLargest + bad;
  const float inverse = bad == 0.0F && peak >= kSmallestPeak ? kLargest / peak : 0.0F;
  I32Lanes total{};
  for (i = 0; i + kStep <= depth; i += kStep) {
    const Vector<float> value = bad == 0.0F ? Load<float>(x + i) : Vector<float>{};
    const I32Lanes number = __builtin_convertvector(Nearest(value * inverse), I32Lanes);
    total += number;
    const I8Quarter bytes = __builtin_convertvector(number, I8Quarter);
    __builtin_memcpy(whole + i, &bytes, sizeof bytes);
  }
  int32_t rest = SumOf<int32_t>(total);
  for (; i < depth; ++i) {
    const float value = bad == 0.0F ? x[i] : 0.0F;
    const int32_t number = static_cast<int32_t>(Nearest(Splat<float>(value * inverse))[0]);
    rest += number;
    whole[i] = static_cast<int8_t>(number);
  }
  *sum = rest;
}

inline void RoundRowsToInt8(const LinearCall& call, const Int8Rows& rows) {
  for (int64_t r = 0; r < call.rows; ++r) {
    RoundRow(call.x + r * call.depth, call.depth, rows.whole + r * call.depth, rows.unit + r, rows.sum + r);
  }
}

struct LinearInt8Math {
  using Rows = Int8Rows;

#if defined(__AVX512VNNI__)
  static OAG_INLINE I8Lanes Weights(I8Lanes raw) { return raw ^ static_cast<int8_t>(-128); }
  static OAG_INLINE I32Lanes MultiplyAdd(I32Lanes sum, I8Lanes w, I32Lanes x) {
    return (I32Lanes)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)w, (__m512i)x);
  }
  static OAG_INLINE uint32_t Excess(int32_t row_sum) { return 128U * static_cast<uint32_t>(row_sum); }
#elif defined(OAG_SIMD_V3)
  static OAG_INLINE I8Lanes Weights(I8Lanes raw) { return raw; }
  // |w| times x with w's sign: two products of at most 127 * 127 never leave 16 bits.
  static OAG_INLINE I32Lanes MultiplyAdd(I32Lanes sum, I8Lanes w, I32Lanes x) {
    const __m256i sized = _mm256_abs_epi8((__m256i)w);
    const __m256i signed_x = _mm256_sign_epi8((__m256i)x, (__m256i)w);
    const __m256i pairs = _mm256_maddubs_epi16(sized, signed_x);
    return sum + (I32Lanes)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
  static OAG_INLINE uint32_t Excess(int32_t) { return 0; }
#elif defined(__ARM_FEATURE_DOTPROD)
  static OAG_INLINE I8Lanes Weights(I8Lanes raw) { return raw; }
  static OAG_INLINE I32Lanes MultiplyAdd(I32Lanes sum, I8Lanes w, I32Lanes x) {
    return (I32Lanes)vdotq_s32((int32x4_t)sum, (int8x16_t)w, (int8x16_t)x);
  }
  static OAG_INLINE uint32_t Excess(int32_t) { return 0; }
#elif defined(__SSE2__)
  static OAG_INLINE I8Lanes Weights(I8Lanes raw) { return raw; }
  // The even bytes as 16 bits with their sign, then the odd ones: products are summed by pairs, in 32 bits.
  static OAG_INLINE I32Lanes MultiplyAdd(I32Lanes sum, I8Lanes w, I32Lanes x) {
    const I16Lanes v = (I16Lanes)w, u = (I16Lanes)x;
    sum += (I32Lanes)_mm_madd_epi16((__m128i)(v << 8 >> 8), (__m128i)(u << 8 >> 8));
    return sum + (I32Lanes)_mm_madd_epi16((__m128i)(v >> 8), (__m128i)(u >> 8));
  }
  static OAG_INLINE uint32_t Excess(int32_t) { return 0; }
#else
  static OAG_INLINE I8Lanes Weights(I8Lanes raw) { return raw; }
  // Byte by byte, each moved to the top of its 32 bits and back with its sign.
  static OAG_INLINE I32Lanes MultiplyAdd(I32Lanes sum, I8Lanes w, I32Lanes x) {
    const I32Lanes v = (I32Lanes)w;
    sum += (v << 24 >> 24) * (x << 24 >> 24);
    sum += (v << 16 >> 24) * (x << 16 >> 24);
    sum += (v << 8 >> 24) * (x << 8 >> 24);
    return sum + (v >> 24) * (x >> 24);
  }
  static OAG_INLINE uint32_t Excess(int32_t) { return 0; }
#endif

  // A single row waits for its weights, so they are read as they lie: block after block.
  static OAG_INLINE void SumInOrder(const int8_t* x, const int8_t* weight, int64_t groups, I32Lanes* sum) {
    constexpr int kChains = 4;
    I32Lanes chain[kChains][kParts] = {};
    int64_t k = 0;
    for (; k + kChains <= groups; k += kChains) {
      for (int c = 0; c < kChains; ++c) Step(x, weight, k + c, chain[c]);
    }
    for (; k < groups; ++k) Step(x, weight, k, chain[0]);
    for (int p = 0; p < kParts; ++p) sum[p] = (chain[0][p] + chain[1][p]) + (chain[2][p] + chain[3][p]);
  }

  static OAG_INLINE void Step(const int8_t* x, const int8_t* weight, int64_t k, I32Lanes* chain) {
    int32_t four;
    __builtin_memcpy(&four, x + k * 4, sizeof four);
    const I32Lanes value = four - I32Lanes{};
    for (int p = 0; p < kParts; ++p) {
      I8Lanes raw;
      __builtin_memcpy(&raw, weight + (k * kBlock + p * kLanes<float>) * 4, sizeof raw);
      chain[p] = MultiplyAdd(chain[p], Weights(raw), value);
    }
  }

  // The weights of the next tile, which are asked for: so many bytes a step, of either width.
  struct Next {
    const void* weight;
    int64_t step;
  };

  template <int kRows, int kBlocks>
  static OAG_INLINE void Sum(const LinearCall& call, const int8_t* x, const int8_t* weight, const Next& next,
                             I32Lanes (&sum)[kRows][kBlocks * kParts]) {
    const int64_t groups = call.depth / 4;
    for (int64_t k = 0; k < groups; ++k) {
      I8Lanes w[kBlocks * kParts];
      for (int b = 0; b < kBlocks; ++b) {
        AskFor<kRows>(static_cast<const int8_t*>(next.weight) + (b * groups + k) * next.step);
        for (int p = 0; p < kParts; ++p) {
          const int8_t* from = weight + ((b * groups + k) * kBlock + p * kLanes<float>) * 4;
          I8Lanes raw;
          __builtin_memcpy(&raw, from, sizeof raw);
          w[b * kParts + p] = Weights(raw);
        }
      }
      for (int r = 0; r < kRows; ++r) {
        int32_t four;
        __builtin_memcpy(&four, x + r * call.depth + k * 4, sizeof four);
        const I32Lanes value = four - I32Lanes{};
        for (int b = 0; b < kBlocks * kParts; ++b) sum[r][b] = MultiplyAdd(sum[r][b], w[b], value);
      }
    }
  }

  template <int kRows, int kBlocks>
  static OAG_INLINE void Tile(const LinearCall& call, const Rows& rows, int64_t row, int64_t block) {
    const int64_t groups = call.depth / 4;
    const int8_t* x = rows.whole + row * call.depth;
    const int8_t* weight = static_cast<const int8_t*>(call.weight) + block * call.depth * kBlock;
    I32Lanes sum[kRows][kBlocks * kParts] = {};
    if constexpr (kRows == 1) {
      for (int b = 0; b < kBlocks; ++b) SumInOrder(x, weight + b * groups * kBlock * 4, groups, &sum[0][b * kParts]);
    } else {
      Sum<kRows, kBlocks>(call, x, weight, {weight + kBlocks * groups * kBlock * 4, kBlock * 4}, sum);
    }
    FinishTile<kRows, kBlocks>(call, rows, row, block, sum);
  }

  template <int kRows, int kBlocks>
  static OAG_INLINE void FinishTile(const LinearCall& call, const Rows& rows, int64_t row, int64_t block,
                                    const I32Lanes (&sum)[kRows][kBlocks * kParts]) {
    for (int r = 0; r < kRows; ++r) {
      const float unit = rows.unit[row + r];
      const uint32_t excess = Excess(rows.sum[row + r]);
      for (int b = 0; b < kBlocks * kParts; ++b) {
        const int64_t column = (block + b / kParts) * kBlock + b % kParts * kLanes<float>;
        const I32Lanes whole = (I32Lanes)((U32Lanes)sum[r][b] - excess);
        const Vector<float> exact = __builtin_convertvector(whole, Vector<float>);
        Finish(call, row + r, block + b / kParts, exact * unit * Load<float>(call.scale + column), b % kParts);
      }
    }
  }
};

inline void RunLinearInt8(const LinearCall& call, const Int8Rows& rows, int64_t begin, int64_t end) {
  RunBlocks<LinearInt8Math>(call, rows, begin, end);
}

inline constexpr LinearInt8Table kLinearInt8Table = {RoundRowsToInt8, RunLinearInt8};

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LINEAR_INT8_LINEAR_INT8_H_

// Vectors of one register, for whichever instruction set the including file is compiled for.
//
// Written with the vector extensions of GCC and Clang, so the same text serves x86-64-v2, v3, v4
// and Arm; intrinsics stand only where a conversion has an instruction the extensions cannot name.
// f16 and bf16 are computed in f32.
//
// Everything lives in a namespace named after the instruction set: one library holds several builds
// of this text, and a linker that merged them would hand AVX-512 code to a machine without it. For
// the same reason no header of the C++ library is included here.
#ifndef OPENAUTOGLM_KERNELS_SIMD_H_
#define OPENAUTOGLM_KERNELS_SIMD_H_

#include <stdint.h>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#include <immintrin.h>
#if defined(__AVX512VNNI__)
#define OAG_SIMD v4_vnni
#elif defined(__AVX512BF16__)
#define OAG_SIMD v4_bf16
#else
#define OAG_SIMD v4
#endif
#define OAG_SIMD_V4 1
#define OAG_VECTOR_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>
#define OAG_SIMD v3
#define OAG_SIMD_V3 1
#define OAG_VECTOR_BYTES 32
#else
#if defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif
#define OAG_SIMD portable
#define OAG_VECTOR_BYTES 16
#endif

#define OAG_INLINE inline __attribute__((always_inline))

namespace openautoglm::kernels {

// 16-bit floats as they lie in memory.
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

namespace OAG_SIMD {

// What an element type is computed in.
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
struct WithoutConst {
  using type = T;
};
template <class T>
struct WithoutConst<const T> {
  using type = T;
};

template <class C>
struct VectorOf {
  typedef C type __attribute__((vector_size(OAG_VECTOR_BYTES)));
};
template <class C>
using Vector = typename VectorOf<C>::type;

// Lanes of a vector that holds elements of type T in their compute type.
template <class T>
inline constexpr int kLanes = OAG_VECTOR_BYTES / static_cast<int>(sizeof(Compute<T>));

using U16Lanes = uint16_t __attribute__((vector_size(OAG_VECTOR_BYTES / 2)));
using U32Lanes = Vector<uint32_t>;

template <class C>
OAG_INLINE Vector<C> Splat(C value) {
  return value - Vector<C>{};
}

// ---- bf16 and f16 <-> f32, rounding to nearest even, NaN stays NaN ----

#if defined(OAG_SIMD_V4)
OAG_INLINE U32Lanes ToU32(U16Lanes bits) {
  return (U32Lanes)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)bits);
}
OAG_INLINE U16Lanes ToU16(U32Lanes bits) {
  return (U16Lanes)_mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)bits);
}
#elif defined(OAG_SIMD_V3)
OAG_INLINE U32Lanes ToU32(U16Lanes bits) { return (U32Lanes)_mm256_cvtepu16_epi32((__m128i)bits); }
OAG_INLINE U16Lanes ToU16(U32Lanes bits) { return __builtin_convertvector(bits, U16Lanes); }
#else
OAG_INLINE U32Lanes ToU32(U16Lanes bits) { return __builtin_convertvector(bits, U32Lanes); }
OAG_INLINE U16Lanes ToU16(U32Lanes bits) { return __builtin_convertvector(bits, U16Lanes); }
#endif

OAG_INLINE Vector<float> Widen(U16Lanes bits, BFloat16) {
  return (Vector<float>)(ToU32(bits) << 16);
}

OAG_INLINE U16Lanes Narrow(Vector<float> value, BFloat16) {
  const U32Lanes bits = (U32Lanes)value;
  const U32Lanes rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const U32Lanes quiet = (bits >> 16) | 0x40U;
  return ToU16((value == value) ? rounded : quiet);
}

#if defined(OAG_SIMD_V4)
OAG_INLINE Vector<float> Widen(U16Lanes bits, Float16) {
  return (Vector<float>)_mm512_maskz_cvtph_ps(0xffff, (__m256i)bits);
}
OAG_INLINE U16Lanes Narrow(Vector<float> value, Float16) {
  return (U16Lanes)_mm512_maskz_cvtps_ph(0xffff, (__m512)value, _MM_FROUND_TO_NEAREST_INT);
}
#elif defined(OAG_SIMD_V3)
OAG_INLINE Vector<float> Widen(U16Lanes bits, Float16) {
  return (Vector<float>)_mm256_cvtph_ps((__m128i)bits);
}
OAG_INLINE U16Lanes Narrow(Vector<float> value, Float16) {
  return (U16Lanes)_mm256_cvtps_ph((__m256)value, _MM_FROUND_TO_NEAREST_INT);
}
#else
// Without an instruction: the exponent is moved by a multiplication, which also makes subnormal
// numbers come out right.
OAG_INLINE Vector<float> Widen(U16Lanes bits, Float16) {
  const U32Lanes wide = ToU32(bits);
  const U32Lanes sign = (wide & 0x8000U) << 16;
  const U32Lanes rest = (wide & 0x7fffU) << 13;
  const Vector<float> finite = (Vector<float>)rest * 0x1p112F;
  const U32Lanes special = rest | 0x7f800000U;
  return (Vector<float>)(((rest >= 0x0f800000U) ? special : (U32Lanes)finite) | sign);
}
OAG_INLINE U16Lanes Narrow(Vector<float> value, Float16) {
  const U32Lanes bits = (U32Lanes)value;
  const U32Lanes sign = (bits >> 16) & 0x8000U;
  const U32Lanes size = bits & 0x7fffffffU;
  const U32Lanes normal = (size - 0x38000000U + 0xfffU + ((size >> 13) & 1U)) >> 13;
  // Adding 0.5 leaves a subnormal result in the low bits, rounded by the addition itself.
  const U32Lanes small = (U32Lanes)((Vector<float>)size + 0.5F) - 0x3f000000U;
  const U32Lanes infinite = U32Lanes{} + 0x7c00U;
  const U32Lanes quiet = ((size >> 13) & 0x3ffU) | 0x7e00U;
  U32Lanes half = (size < 0x38800000U) ? small : normal;
  half = (size >= 0x477ff000U) ? infinite : half;
  half = (size > 0x7f800000U) ? quiet : half;
  return ToU16(half | sign);
}
#endif

// ---- loading and storing ----

template <class T>
OAG_INLINE Vector<Compute<T>> Load(const T* from) {
  U16Lanes bits;
  __builtin_memcpy(&bits, from, sizeof bits);
  return Widen(bits, T{});
}
template <>
OAG_INLINE Vector<float> Load(const float* from) {
  Vector<float> value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
template <>
OAG_INLINE Vector<double> Load(const double* from) {
  Vector<double> value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
OAG_INLINE void Store(T* to, Vector<Compute<T>> value) {
  const U16Lanes bits = Narrow(value, T{});
  __builtin_memcpy(to, &bits, sizeof bits);
}
template <>
OAG_INLINE void Store(float* to, Vector<float> value) {
  __builtin_memcpy(to, &value, sizeof value);
}
template <>
OAG_INLINE void Store(double* to, Vector<double> value) {
  __builtin_memcpy(to, &value, sizeof value);
}

// The first `count` elements at any distance apart (in elements, negative and 0 too); other lanes
// are zero.
template <class T>
OAG_INLINE Vector<Compute<T>> Load(const T* from, int64_t stride, int count) {
  T lanes[kLanes<T>] = {};
  for (int i = 0; i < count; ++i) lanes[i] = from[i * stride];
  return Load(lanes);
}

template <class T>
OAG_INLINE void Store(T* to, int64_t stride, int count, Vector<Compute<T>> value) {
  T lanes[kLanes<T>];
  Store(lanes, value);
  for (int i = 0; i < count; ++i) to[i * stride] = lanes[i];
}

template <class T>
OAG_INLINE Compute<T> LoadOne(const T* from) {
  return Load(from, 0, 1)[0];
}

template <class T>
OAG_INLINE void StoreOne(T* to, Compute<T> value) {
  Store(to, 0, 1, Splat<Compute<T>>(value));
}

// A line of elements `step` apart; with kUnit they lie side by side and whole vectors are read at
// once.
template <class Element, bool kUnit>
struct Line {
  using T = typename WithoutConst<Element>::type;
  Element* data;
  int64_t step;

  OAG_INLINE Vector<Compute<T>> Get(int64_t at) const {
    return kUnit ? Load<T>(data + at) : Load<T>(data + at * step, step, kLanes<T>);
  }
  OAG_INLINE Vector<Compute<T>> Get(int64_t at, int count) const {
    return Load<T>(data + at * step, step, count);
  }
  OAG_INLINE void Set(int64_t at, Vector<Compute<T>> value) const {
    if (kUnit) {
      Store<T>(data + at, value);
    } else {
      Store<T>(data + at * step, step, kLanes<T>, value);
    }
  }
  OAG_INLINE void Set(int64_t at, int count, Vector<Compute<T>> value) const {
    Store<T>(data + at * step, step, count, value);
  }
};

// ---- arithmetic ----

// Both bounds let NaN through: the instructions return their second operand where either is NaN.
#if defined(OAG_SIMD_V4)
OAG_INLINE Vector<float> AtLeast(Vector<float> value, float low) {
  return (Vector<float>)_mm512_maskz_max_ps(0xffff, (__m512)Splat<float>(low), (__m512)value);
}
OAG_INLINE Vector<double> AtLeast(Vector<double> value, double low) {
  return (Vector<double>)_mm512_maskz_max_pd(0xff, (__m512d)Splat<double>(low), (__m512d)value);
}
OAG_INLINE Vector<float> AtMost(Vector<float> value, float high) {
  return (Vector<float>)_mm512_maskz_min_ps(0xffff, (__m512)Splat<float>(high), (__m512)value);
}
OAG_INLINE Vector<double> AtMost(Vector<double> value, double high) {
  return (Vector<double>)_mm512_maskz_min_pd(0xff, (__m512d)Splat<double>(high), (__m512d)value);
}
#elif defined(OAG_SIMD_V3)
OAG_INLINE Vector<float> AtLeast(Vector<float> value, float low) {
  return (Vector<float>)_mm256_max_ps((__m256)Splat<float>(low), (__m256)value);
}
OAG_INLINE Vector<double> AtLeast(Vector<double> value, double low) {
  return (Vector<double>)_mm256_max_pd((__m256d)Splat<double>(low), (__m256d)value);
}
OAG_INLINE Vector<float> AtMost(Vector<float> value, float high) {
  return (Vector<float>)_mm256_min_ps((__m256)Splat<float>(high), (__m256)value);
}
OAG_INLINE Vector<double> AtMost(Vector<double> value, double high) {
  return (Vector<double>)_mm256_min_pd((__m256d)Splat<double>(high), (__m256d)value);
}
#else
template <class V, class C>
OAG_INLINE V AtLeast(V value, C low) {
  return (value < low) ? Splat<C>(low) : value;
}
template <class V, class C>
OAG_INLINE V AtMost(V value, C high) {
  return (value > high) ? Splat<C>(high) : value;
}
#endif

#if defined(OAG_SIMD_V4)
// value * 2^power, for whole powers.
OAG_INLINE Vector<float> TimesTwoTo(Vector<float> value, Vector<float> power) {
  return (Vector<float>)_mm512_maskz_scalef_ps(0xffff, (__m512)value, (__m512)power);
}
OAG_INLINE Vector<double> TimesTwoTo(Vector<double> value, Vector<double> power) {
  return (Vector<double>)_mm512_maskz_scalef_pd(0xff, (__m512d)value, (__m512d)power);
}
#endif

template <class C>
OAG_INLINE Vector<C> Abs(Vector<C> value) {
  return (value < 0) ? -value : value;
}

template <class C>
OAG_INLINE C SumOf(Vector<C> value) {
  constexpr int kCount = OAG_VECTOR_BYTES / static_cast<int>(sizeof(C));
  C lanes[kCount];
  __builtin_memcpy(lanes, &value, sizeof value);
  for (int half = kCount / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

template <class C>
OAG_INLINE C MaxOf(Vector<C> value) {
  C most = value[0];
  for (int i = 1; i < OAG_VECTOR_BYTES / static_cast<int>(sizeof(C)); ++i) {
    most = value[i] > most ? value[i] : most;
  }
  return most;
}

// What rounding takes from a * b when the product is stored as `product`, exactly.
#if defined(OAG_SIMD_V4)
OAG_INLINE Vector<float> LostIn(Vector<float> product, Vector<float> a, Vector<float> b) {
  return (Vector<float>)_mm512_fmsub_ps((__m512)a, (__m512)b, (__m512)product);
}
OAG_INLINE Vector<double> LostIn(Vector<double> product, Vector<double> a, Vector<double> b) {
  return (Vector<double>)_mm512_fmsub_pd((__m512d)a, (__m512d)b, (__m512d)product);
}
#elif defined(OAG_SIMD_V3)
OAG_INLINE Vector<float> LostIn(Vector<float> product, Vector<float> a, Vector<float> b) {
  return (Vector<float>)_mm256_fmsub_ps((__m256)a, (__m256)b, (__m256)product);
}
OAG_INLINE Vector<double> LostIn(Vector<double> product, Vector<double> a, Vector<double> b) {
  return (Vector<double>)_mm256_fmsub_pd((__m256d)a, (__m256d)b, (__m256d)product);
}
#else
OAG_INLINE Vector<float> UpperHalf(Vector<float> a) {
  return (Vector<float>)((Vector<uint32_t>)a & 0xfffff000U);
}
OAG_INLINE Vector<double> UpperHalf(Vector<double> a) {
  return (Vector<double>)((Vector<uint64_t>)a & 0xfffffffff8000000U);
}
template <class V>
OAG_INLINE V LostIn(V product, V a, V b) {
  const V a_high = UpperHalf(a);
  const V b_high = UpperHalf(b);
  const V a_low = a - a_high;
  const V b_low = b - b_high;
  return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
}
#endif

// Horner's scheme, the highest power first.
template <class C, int kTerms>
OAG_INLINE Vector<C> Polynomial(const C (&terms)[kTerms], Vector<C> x) {
  Vector<C> sum = Splat<C>(terms[0]);
  for (int i = 1; i < kTerms; ++i) sum = sum * x + terms[i];
  return sum;
}

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_SIMD_H_

// exp and the normal distribution over vectors, without a call into the C library.
//
// The coefficients are our own least-squares and Chebyshev fits (50 digits), with the largest
// relative error of each fit written beside it; tests/unit/ops/library holds the functions built on
// them to their stated error.
#ifndef OPENAUTOGLM_KERNELS_SPECIAL_H_
#define OPENAUTOGLM_KERNELS_SPECIAL_H_

#include "simd.h"

namespace openautoglm::kernels::OAG_SIMD {

template <class C>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Bits = uint32_t;
  // exp on |r| <= ln(2)/2, within 2e-9.
  static constexpr float kTerms[] = {
      1.39412131e-3F, 8.37521020e-3F, 4.16663516e-2F, 1.66664146e-1F, 5.00000005e-1F, 1.0F, 1.0F};
  static constexpr float kFloor = -104.0F;  // there and below it, zero
  static constexpr float kLow = -87.4F;     // below it, no normal number
  static constexpr float kHigh = 89.0F;     // above 88.37, infinity
  static constexpr float kLn2High = 0.693359375F;
  static constexpr float kLn2Low = -2.12194440e-4F;
  static constexpr float kLog2e = 1.44269504F;
  static constexpr float kRound =
      12582912.0F;  // 1.5 * 2^23: adding it leaves an integer in the low bits
  static constexpr int kMantissa = 23;
  static constexpr Bits kBias = 127;
};

template <>
struct ExpConstants<double> {
  using Bits = uint64_t;
  // exp on |r| <= ln(2)/2, within 4e-18.
  static constexpr double kTerms[] = {2.51101536469289314e-8,
                                      2.7632790542117181e-7,
                                      2.75572406046638958e-6,
                                      2.48014850741051167e-5,
                                      1.98412698903406653e-4,
                                      1.38888889526965157e-3,
                                      8.33333333331949032e-3,
                                      4.16666666664866612e-2,
                                      1.66666666666666809e-1,
                                      5.00000000000001857e-1,
                                      1.0,
                                      1.0};
  static constexpr double kFloor = -746.0;
  static constexpr double kLow = -708.3;
  static constexpr double kHigh = 710.0;  // above 709.78 at the latest, infinity
  static constexpr double kLn2High = 0.693147180369123816490;  // 32 bits, so that n * it is exact
  static constexpr double kLn2Low = 1.90821492927058770002e-10;
  static constexpr double kLog2e = 1.44269504088896340736;
  static constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr int kMantissa = 52;
  static constexpr Bits kBias = 1023;
};

// e^x within 2 units in the last place where it is a normal number; where it is smaller, zero or
// the nearest subnormal one. NaN stays NaN.
template <class C>
OAG_INLINE Vector<C> Exp(Vector<C> x) {
  using K = ExpConstants<C>;
  const Vector<C> bounded = AtMost(AtLeast(x, K::kFloor), K::kHigh);
  const Vector<C> shifted = bounded * K::kLog2e + K::kRound;
  const Vector<C> n = shifted - K::kRound;
  const Vector<C> r = (bounded - n * K::kLn2High) - n * K::kLn2Low;
  const Vector<C> power = Polynomial<C>(K::kTerms, r);
#if defined(OAG_SIMD_V4)
  return TimesTwoTo(power, n);
#else
  using Bits = Vector<typename K::Bits>;
  const Bits exponent = ((Bits)shifted + K::kBias) << K::kMantissa;
  return (x < K::kLow) ? Vector<C>{} : power * (Vector<C>)exponent;
#endif
}

template <class C>
struct TailConstants;

// Phi(-a) * exp(a*a/2) as P(a) / Q(a): every coefficient is positive, nothing cancels.
template <>
struct TailConstants<float> {  // 0 <= a <= 14, beyond which it is no normal number, within 6e-9
  static constexpr float kP[] = {4.077298568e-3F, 4.037081019e-2F, 1.824571676e-1F, 4.372453995e-1F,
                                 0.5F};
  static constexpr float kQ[] = {1.022014314e-2F, 1.01201424e-1F, 4.674166304e-1F,
                                 1.199272626F,    1.672375751F,   1.0F};
  static constexpr float kFar = 15.0F;  // where it is zero
};
template <>
struct TailConstants<double> {  // 0 <= a <= 39, within 6e-17
  static constexpr double kP[] = {1.38619130730960234e-6, 3.72656423160074201e-5,
                                  4.90547407736821647e-4, 4.09023162705631761e-3,
                                  2.3626817660095191e-2,  9.77139131801529685e-2,
                                  2.89365434026429551e-1, 5.94092638113593068e-1,
                                  7.74906254474494387e-1, 4.99999999999999977e-1};
  static constexpr double kQ[] = {3.47466632496021809e-6,
                                  9.34111126994643449e-5,
                                  1.23309466880353358e-3,
                                  1.03461013477204947e-2,
                                  6.04463202802209537e-2,
                                  2.54998313933430738e-1,
                                  7.82130978084379908e-1,
                                  1.71452663444782722,
                                  2.56137652162462647,
                                  2.34769706975184437,
                                  1.0};
  static constexpr double kFar = 38.7;
};

// The normal distribution at u: cdf(u) = P(X <= u), and bell = exp(-u*u/2).
template <class C>
struct Normal {
  Vector<C> cdf;
  Vector<C> bell;
};

// The lower tail keeps its relative accuracy: cdf(-5) is right to 4 units in the last place, unlike
// 1 + erf.
template <class C>
OAG_INLINE Normal<C> NormalAt(Vector<C> u) {
  using K = TailConstants<C>;
  const Vector<C> a = AtMost(Abs<C>(u), K::kFar);
  const Vector<C> half = C(0.5) * a;
  const Vector<C> square = half * a;
  const Vector<C> bell = Exp<C>(-square) * (C(1) - LostIn(square, half, a));
  const Vector<C> tail = bell * (Polynomial<C>(K::kP, a) / Polynomial<C>(K::kQ, a));
  return {(u < 0) ? tail : C(1) - tail, bell};
}

// The logistic function.
template <class C>
OAG_INLINE Vector<C> Sigmoid(Vector<C> z) {
  return C(1) / (C(1) + Exp<C>(-z));
}

}  // namespace openautoglm::kernels::OAG_SIMD

#endif  // OPENAUTOGLM_KERNELS_SPECIAL_H_

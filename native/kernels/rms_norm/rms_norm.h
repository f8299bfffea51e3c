// rms_norm: x * r * weight with r = 1 / sqrt(mean(x^2) + eps) of each row, and its gradient.
#ifndef OPENAUTOGLM_KERNELS_RMS_NORM_H_
#define OPENAUTOGLM_KERNELS_RMS_NORM_H_

#include "../by_dtype.h"
#include "../rows.h"
#include "../simd.h"

namespace openautoglm::kernels {

struct RmsNormCall {
  RowsIn x;
  RowsIn weight;  // one row for all: row is 0; data may be null for weights of one
  RowsOut out;
  int64_t rows;
  int64_t size;  // of a row
  double eps;
};

struct RmsNormBackwardCall {
  RowsIn grad;
  RowsIn x;
  RowsIn weight;
  RowsOut x_grad;
  void* weight_sums;  // `size` numbers of the compute type, side by side: added to
  int64_t rows;
  int64_t size;
  double eps;
};

extern const ByDtype<RmsNormCall> kRmsNormV3;
extern const ByDtype<RmsNormCall> kRmsNormV4;
extern const ByDtype<RmsNormBackwardCall> kRmsNormBackwardV3;
extern const ByDtype<RmsNormBackwardCall> kRmsNormBackwardV4;

namespace OAG_SIMD {

template <class C>
OAG_INLINE C InverseRoot(C sum_of_squares, int64_t size, double eps) {
  const C mean = sum_of_squares / static_cast<C>(size) + static_cast<C>(eps);
  if constexpr (sizeof(C) == sizeof(float)) {
    return C(1) / __builtin_sqrtf(mean);
  } else {
    return C(1) / __builtin_sqrt(mean);
  }
}

// Four sums run side by side: one would wait for itself at every step.
template <class T, bool kUnit>
OAG_INLINE Compute<T> SumOfSquares(Line<const T, kUnit> x, int64_t size) {
  using C = Compute<T>;
  constexpr int kStep = kLanes<T>;
  Vector<C> sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kStep <= size; i += 4 * kStep) {
    for (int k = 0; k < 4; ++k) {
      const Vector<C> v = x.Get(i + k * kStep);
      sums[k] += v * v;
    }
  }
  for (; i + kStep <= size; i += kStep) {
    const Vector<C> v = x.Get(i);
    sums[0] += v * v;
  }
  if (i < size) {
    const Vector<C> v = x.Get(i, static_cast<int>(size - i));
    sums[1] += v * v;
  }
  return SumOf<C>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T, bool kUnit, bool kWeighted>
OAG_INLINE void RmsNormRow(const RmsNormCall& call, int64_t r) {
  using C = Compute<T>;
  constexpr int kStep = kLanes<T>;
  const Line<const T, kUnit> weight{static_cast<const T*>(call.weight.data), call.weight.step};
  const Line<const T, kUnit> x{static_cast<const T*>(call.x.data) + r * call.x.row, call.x.step};
  const Line<T, kUnit> out{static_cast<T*>(call.out.data) + r * call.out.row, call.out.step};
  const auto scale =
      Splat<C>(InverseRoot<C>(SumOfSquares<T, kUnit>(x, call.size), call.size, call.eps));
  int64_t i = 0;
#pragma GCC unroll 4
  for (; i + kStep <= call.size; i += kStep) {
    const Vector<C> v = x.Get(i) * scale;
    out.Set(i, kWeighted ? v * weight.Get(i) : v);
  }
  const int rest = static_cast<int>(call.size - i);
  if (rest > 0) {
    const Vector<C> v = x.Get(i, rest) * scale;
    out.Set(i, rest, kWeighted ? v * weight.Get(i, rest) : v);
  }
}

template <class T, bool kUnit>
OAG_INLINE void RmsNormRows(const RmsNormCall& call) {
  if (call.weight.data != nullptr) {
    for (int64_t r = 0; r < call.rows; ++r) RmsNormRow<T, kUnit, true>(call, r);
  } else {
    for (int64_t r = 0; r < call.rows; ++r) RmsNormRow<T, kUnit, false>(call, r);
  }
}

template <class T>
void RmsNormForward(const RmsNormCall& call) {
  const bool unit = call.x.step == 1 && call.out.step == 1 &&
                    (call.weight.data == nullptr || call.weight.step == 1);
  unit ? RmsNormRows<T, true>(call) : RmsNormRows<T, false>(call);
}

// ---- gradient: x_grad = r * (grad * weight - x * r^2 * mean(grad * weight * x)); weight_sums +=
// grad * x * r ----

template <class C>
struct RowSums {
  Vector<C> squares = {};
  Vector<C> dots = {};

  OAG_INLINE void Add(Vector<C> x, Vector<C> weighted_grad) {
    squares += x * x;
    dots += x * weighted_grad;
  }
};

template <class T, bool kUnit, bool kWeighted>
struct RmsNormBackwardRow {
  using C = Compute<T>;
  static constexpr int kStep = kLanes<T>;
  Line<const T, kUnit> grad;
  Line<const T, kUnit> x;
  Line<const T, kUnit> weight;
  Line<T, kUnit> x_grad;
  C* weight_sums;

  OAG_INLINE Vector<C> Weighted(Vector<C> g, int64_t at) const {
    return kWeighted ? g * weight.Get(at) : g;
  }
  OAG_INLINE Vector<C> Weighted(Vector<C> g, int64_t at, int count) const {
    return kWeighted ? g * weight.Get(at, count) : g;
  }

  OAG_INLINE RowSums<C> Sums(int64_t size) const {
    RowSums<C> even, odd;
    int64_t i = 0;
    for (; i + 2 * kStep <= size; i += 2 * kStep) {
      even.Add(x.Get(i), Weighted(grad.Get(i), i));
      odd.Add(x.Get(i + kStep), Weighted(grad.Get(i + kStep), i + kStep));
    }
    for (; i < size; i += kStep) {
      const int count = static_cast<int>(size - i < kStep ? size - i : kStep);
      even.Add(x.Get(i, count), Weighted(grad.Get(i, count), i, count));
    }
    return {even.squares + odd.squares, even.dots + odd.dots};
  }

  OAG_INLINE void Apply(int64_t size, double eps) const {
    const RowSums<C> sums = Sums(size);
    const C r = InverseRoot<C>(SumOf<C>(sums.squares), size, eps);
    const C pull = r * r * r * (SumOf<C>(sums.dots) / static_cast<C>(size));
    int64_t i = 0;
#pragma GCC unroll 2
    for (; i + kStep <= size; i += kStep) {
      const Vector<C> v = x.Get(i);
      const Vector<C> g = grad.Get(i);
      x_grad.Set(i, Weighted(g, i) * r - v * pull);
      Store<C>(weight_sums + i, Load<C>(weight_sums + i) + g * v * r);
    }
    const int rest = static_cast<int>(size - i);
    if (rest > 0) {
      const Vector<C> v = x.Get(i, rest);
      const Vector<C> g = grad.Get(i, rest);
      x_grad.Set(i, rest, Weighted(g, i, rest) * r - v * pull);
      Store<C>(weight_sums + i, 1, rest, Load<C>(weight_sums + i, 1, rest) + g * v * r);
    }
  }
};

template <class T, bool kUnit, bool kWeighted>
OAG_INLINE void RmsNormBackwardRows(const RmsNormBackwardCall& call) {
  for (int64_t r = 0; r < call.rows; ++r) {
    const RmsNormBackwardRow<T, kUnit, kWeighted> row{
        {static_cast<const T*>(call.grad.data) + r * call.grad.row, call.grad.step},
        {static_cast<const T*>(call.x.data) + r * call.x.row, call.x.step},
        {static_cast<const T*>(call.weight.data), call.weight.step},
        {static_cast<T*>(call.x_grad.data) + r * call.x_grad.row, call.x_grad.step},
        static_cast<Compute<T>*>(call.weight_sums)};
    row.Apply(call.size, call.eps);
  }
}

template <class T>
void RmsNormBackward(const RmsNormBackwardCall& call) {
  const bool weighted = call.weight.data != nullptr;
  const bool unit = call.x.step == 1 && call.grad.step == 1 && call.x_grad.step == 1 &&
                    (!weighted || call.weight.step == 1);
  if (unit) {
    weighted ? RmsNormBackwardRows<T, true, true>(call) : RmsNormBackwardRows<T, true, false>(call);
  } else {
    weighted ? RmsNormBackwardRows<T, false, true>(call)
             : RmsNormBackwardRows<T, false, false>(call);
  }
}

inline constexpr ByDtype<RmsNormCall> kRmsNormTable = {
    RmsNormForward<float>, RmsNormForward<double>, RmsNormForward<BFloat16>,
    RmsNormForward<Float16>};
inline constexpr ByDtype<RmsNormBackwardCall> kRmsNormBackwardTable = {
    RmsNormBackward<float>, RmsNormBackward<double>, RmsNormBackward<BFloat16>,
    RmsNormBackward<Float16>};

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_RMS_NORM_H_

// bias_gelu: gelu(x + bias) and its gradient, row by row.
//
// gelu(u) = u * cdf(u) of the normal distribution, or with `tanh` its usual approximation
// u * sigmoid(2k(u + 0.044715 u^3)), k = sqrt(2 / pi).
#ifndef OPENAUTOGLM_KERNELS_BIAS_GELU_H_
#define OPENAUTOGLM_KERNELS_BIAS_GELU_H_

#include "../by_dtype.h"
#include "../rows.h"
#include "../special.h"

namespace openautoglm::kernels {

struct GeluCall {
  RowsIn x;
  RowsIn bias;  // one row for all: row is 0
  RowsOut out;
  int64_t rows;
  int64_t size;  // of a row
  bool tanh;
};

struct GeluBackwardCall {
  RowsIn grad;
  RowsIn x;
  RowsIn bias;
  RowsOut x_grad;
  void* bias_sums;  // `size` numbers of the compute type, side by side: added to
  int64_t rows;
  int64_t size;
  bool tanh;
};

extern const ByDtype<GeluCall> kGeluV3;
extern const ByDtype<GeluCall> kGeluV4;
extern const ByDtype<GeluBackwardCall> kGeluBackwardV3;
extern const ByDtype<GeluBackwardCall> kGeluBackwardV4;

namespace OAG_SIMD {

template <bool kTanh>
struct Gelu {
  static constexpr double kTwoK = 1.59576912160573071;  // 2 sqrt(2 / pi)
  static constexpr double kCube = 0.044715;
  static constexpr double kPeak = 0.398942280401432678;  // 1 / sqrt(2 pi)

  template <class C>
  OAG_INLINE static Vector<C> Value(Vector<C> u) {
    if constexpr (kTanh) {
      const Vector<C> inner = C(kTwoK) * u * (C(1) + C(kCube) * u * u);
      return u / (C(1) + Exp<C>(-inner));
    } else {
      return u * NormalAt<C>(u).cdf;
    }
  }

  template <class C>
  OAG_INLINE static Vector<C> Slope(Vector<C> u) {
    if constexpr (kTanh) {
      const Vector<C> square = u * u;
      const Vector<C> gate = Sigmoid<C>(C(kTwoK) * u * (C(1) + C(kCube) * square));
      return gate + u * gate * (C(1) - gate) * (C(kTwoK) + C(3 * kTwoK * kCube) * square);
    } else {
      const Normal<C> normal = NormalAt<C>(u);
      return normal.cdf + u * normal.bell * C(kPeak);
    }
  }
};

template <class T, bool kUnit, bool kTanh>
OAG_INLINE void GeluRow(Line<const T, kUnit> x, Line<const T, kUnit> bias, Line<T, kUnit> out,
                        int64_t size) {
  using C = Compute<T>;
  constexpr int kStep = kLanes<T>;
  int64_t i = 0;
#pragma GCC unroll 2
  for (; i + kStep <= size; i += kStep)
    out.Set(i, Gelu<kTanh>::template Value<C>(x.Get(i) + bias.Get(i)));
  const int rest = static_cast<int>(size - i);
  if (rest > 0)
    out.Set(i, rest, Gelu<kTanh>::template Value<C>(x.Get(i, rest) + bias.Get(i, rest)));
}

template <class T, bool kUnit, bool kTanh>
OAG_INLINE void GeluRows(const GeluCall& call) {
  const Line<const T, kUnit> bias{static_cast<const T*>(call.bias.data), call.bias.step};
  for (int64_t r = 0; r < call.rows; ++r) {
    const Line<const T, kUnit> x{static_cast<const T*>(call.x.data) + r * call.x.row, call.x.step};
    const Line<T, kUnit> out{static_cast<T*>(call.out.data) + r * call.out.row, call.out.step};
    GeluRow<T, kUnit, kTanh>(x, bias, out, call.size);
  }
}

template <class T>
void GeluForward(const GeluCall& call) {
  const bool unit = call.x.step == 1 && call.bias.step == 1 && call.out.step == 1;
  if (unit) {
    call.tanh ? GeluRows<T, true, true>(call) : GeluRows<T, true, false>(call);
  } else {
    call.tanh ? GeluRows<T, false, true>(call) : GeluRows<T, false, false>(call);
  }
}

template <class T, bool kUnit, bool kTanh>
OAG_INLINE void GeluBackwardRow(const GeluBackwardCall& call, int64_t r) {
  using C = Compute<T>;
  constexpr int kStep = kLanes<T>;
  const Line<const T, kUnit> bias{static_cast<const T*>(call.bias.data), call.bias.step};
  const Line<const T, kUnit> x{static_cast<const T*>(call.x.data) + r * call.x.row, call.x.step};
  const Line<const T, kUnit> grad{static_cast<const T*>(call.grad.data) + r * call.grad.row,
                                  call.grad.step};
  const Line<T, kUnit> x_grad{static_cast<T*>(call.x_grad.data) + r * call.x_grad.row,
                              call.x_grad.step};
  C* sums = static_cast<C*>(call.bias_sums);
  int64_t i = 0;
  for (; i + kStep <= call.size; i += kStep) {
    const Vector<C> d = grad.Get(i) * Gelu<kTanh>::template Slope<C>(x.Get(i) + bias.Get(i));
    x_grad.Set(i, d);
    Store<C>(sums + i, Load<C>(sums + i) + d);
  }
  const int rest = static_cast<int>(call.size - i);
  if (rest > 0) {
    const Vector<C> u = x.Get(i, rest) + bias.Get(i, rest);
    const Vector<C> d = grad.Get(i, rest) * Gelu<kTanh>::template Slope<C>(u);
    x_grad.Set(i, rest, d);
    Store<C>(sums + i, 1, rest, Load<C>(sums + i, 1, rest) + d);
  }
}

template <class T, bool kUnit, bool kTanh>
OAG_INLINE void GeluBackwardRows(const GeluBackwardCall& call) {
  for (int64_t r = 0; r < call.rows; ++r) GeluBackwardRow<T, kUnit, kTanh>(call, r);
}

template <class T>
void GeluBackward(const GeluBackwardCall& call) {
  const bool unit =
      call.x.step == 1 && call.bias.step == 1 && call.grad.step == 1 && call.x_grad.step == 1;
  if (unit) {
    call.tanh ? GeluBackwardRows<T, true, true>(call) : GeluBackwardRows<T, true, false>(call);
  } else {
    call.tanh ? GeluBackwardRows<T, false, true>(call) : GeluBackwardRows<T, false, false>(call);
  }
}

inline constexpr ByDtype<GeluCall> kGeluTable = {GeluForward<float>, GeluForward<double>,
                                                 GeluForward<BFloat16>, GeluForward<Float16>};
inline constexpr ByDtype<GeluBackwardCall> kGeluBackwardTable = {
    GeluBackward<float>, GeluBackward<double>, GeluBackward<BFloat16>, GeluBackward<Float16>};

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_BIAS_GELU_H_

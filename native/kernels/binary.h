// The inner loop of an elementwise operator with two inputs and one factor.
#ifndef OPENAUTOGLM_KERNELS_BINARY_H_
#define OPENAUTOGLM_KERNELS_BINARY_H_

#include "by_dtype.h"
#include "simd.h"

namespace openautoglm::kernels {

// One line of elements, borrowed for the call. Steps are in elements and may be negative or, for
// inputs, 0.
struct BinaryLine {
  const void* x;
  const void* y;
  void* out;
  int64_t x_step;
  int64_t y_step;
  int64_t out_step;
  int64_t size;
  double factor;
};

namespace OAG_SIMD {

// An input that lies side by side, or is one value for the whole line.
template <class T, bool kOneValue>
struct Side {
  const T* data;
  Vector<Compute<T>> value;

  OAG_INLINE explicit Side(const T* from) : data(from), value(Splat<Compute<T>>(LoadOne(from))) {}
  OAG_INLINE Vector<Compute<T>> Get(int64_t at) const {
    return kOneValue ? value : Load<T>(data + at);
  }
  OAG_INLINE Vector<Compute<T>> Get(int64_t at, int count) const {
    return kOneValue ? value : Load<T>(data + at, 1, count);
  }
};

template <class Op, class T, bool kOneX, bool kOneY>
OAG_INLINE void BinaryUnit(const BinaryLine& line) {
  constexpr int kStep = kLanes<T>;
  const Side<T, kOneX> x(static_cast<const T*>(line.x));
  const Side<T, kOneY> y(static_cast<const T*>(line.y));
  T* out = static_cast<T*>(line.out);
  const auto factor = Splat<Compute<T>>(static_cast<Compute<T>>(line.factor));
  int64_t i = 0;
#pragma GCC unroll 4
  for (; i + kStep <= line.size; i += kStep)
    Store<T>(out + i, Op::Apply(x.Get(i), y.Get(i), factor));
  const int rest = static_cast<int>(line.size - i);
  if (rest > 0) Store<T>(out + i, 1, rest, Op::Apply(x.Get(i, rest), y.Get(i, rest), factor));
}

template <class Op, class T>
OAG_INLINE void BinaryStrided(const BinaryLine& line) {
  constexpr int kStep = kLanes<T>;
  const Line<const T, false> x{static_cast<const T*>(line.x), line.x_step};
  const Line<const T, false> y{static_cast<const T*>(line.y), line.y_step};
  const Line<T, false> out{static_cast<T*>(line.out), line.out_step};
  const auto factor = Splat<Compute<T>>(static_cast<Compute<T>>(line.factor));
  for (int64_t i = 0; i < line.size; i += kStep) {
    const int count = static_cast<int>(line.size - i < kStep ? line.size - i : kStep);
    out.Set(i, count, Op::Apply(x.Get(i, count), y.Get(i, count), factor));
  }
}

template <class Op, class T>
void Binary(const BinaryLine& line) {
  if (line.size <= 0) return;
  const bool unit = line.out_step == 1 && (line.x_step == 0 || line.x_step == 1) &&
                    (line.y_step == 0 || line.y_step == 1);
  if (!unit) {
    BinaryStrided<Op, T>(line);
  } else if (line.x_step == 1 && line.y_step == 1) {
    BinaryUnit<Op, T, false, false>(line);
  } else if (line.x_step == 1) {
    BinaryUnit<Op, T, false, true>(line);
  } else if (line.y_step == 1) {
    BinaryUnit<Op, T, true, false>(line);
  } else {
    BinaryUnit<Op, T, true, true>(line);
  }
}

template <class Op>
constexpr ByDtype<BinaryLine> BinaryTable() {
  return {Binary<Op, float>, Binary<Op, double>, Binary<Op, BFloat16>, Binary<Op, Float16>};
}

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_BINARY_H_

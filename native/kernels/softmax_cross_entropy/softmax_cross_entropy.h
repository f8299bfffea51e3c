// softmax_cross_entropy: log(sum(exp(row))) - row[target] of each row, and its gradient.
//
// A target that is `ignore_index` gives 0; one that is no class gives NaN, on every device alike: a
// GPU cannot refuse without stopping the stream.
#ifndef OPENAUTOGLM_KERNELS_SOFTMAX_CROSS_ENTROPY_H_
#define OPENAUTOGLM_KERNELS_SOFTMAX_CROSS_ENTROPY_H_

#include "../by_dtype.h"
#include "../rows.h"
#include "../special.h"

namespace openautoglm::kernels {

struct CrossEntropyCall {
  RowsIn logits;
  RowsIn target;  // int64; row is the distance between targets
  RowsOut loss;   // row is the distance between losses
  int64_t rows;
  int64_t classes;
  int64_t ignore_index;
};

struct CrossEntropyBackwardCall {
  RowsIn grad;  // of the loss
  RowsIn logits;
  RowsIn target;
  RowsOut logits_grad;
  int64_t rows;
  int64_t classes;
  int64_t ignore_index;
};

extern const ByDtype<CrossEntropyCall> kCrossEntropyV3;
extern const ByDtype<CrossEntropyCall> kCrossEntropyV4;
extern const ByDtype<CrossEntropyBackwardCall> kCrossEntropyBackwardV3;
extern const ByDtype<CrossEntropyBackwardCall> kCrossEntropyBackwardV4;

namespace OAG_SIMD {

template <class C>
inline constexpr C kNaN = C(__builtin_nan(""));
template <class C>
inline constexpr C kInfinity = C(__builtin_inf());

template <class T, bool kUnit>
OAG_INLINE Compute<T> Largest(Line<const T, kUnit> row, int64_t size) {
  using C = Compute<T>;
  constexpr int kStep = kLanes<T>;
  Vector<C> most[2] = {Splat<C>(-kInfinity<C>), Splat<C>(-kInfinity<C>)};
  int64_t i = 0;
  for (; i + 2 * kStep <= size; i += 2 * kStep) {
    for (int k = 0; k < 2; ++k) {
      const Vector<C> v = row.Get(i + k * kStep);
      most[k] = (v > most[k]) ? v : most[k];
    }
  }
  most[0] = (most[1] > most[0]) ? most[1] : most[0];
  C largest = MaxOf<C>(most[0]);
  for (; i < size; ++i) {
    const C v = LoadOne<T>(row.data + i * row.step);
    largest = v > largest ? v : largest;
  }
  return largest;
}

template <class T, bool kUnit>
OAG_INLINE Compute<T> SumOfExp(Line<const T, kUnit> row, int64_t size, Compute<T> largest) {
  using C = Compute<T>;
  constexpr int kStep = kLanes<T>;
  Vector<C> sums[2] = {};
  int64_t i = 0;
  for (; i + 2 * kStep <= size; i += 2 * kStep) {
    for (int k = 0; k < 2; ++k) sums[k] += Exp<C>(row.Get(i + k * kStep) - largest);
  }
  for (; i + kStep <= size; i += kStep) sums[0] += Exp<C>(row.Get(i) - largest);
  C total = SumOf<C>(sums[0] + sums[1]);
  const int rest = static_cast<int>(size - i);
  if (rest > 0) {
    const Vector<C> last = Exp<C>(row.Get(i, rest) - largest);
    for (int k = 0; k < rest; ++k) total += last[k];
  }
  return total;
}

template <class T, bool kUnit>
OAG_INLINE Compute<T> RowLoss(Line<const T, kUnit> row, int64_t size, int64_t target) {
  using C = Compute<T>;
  if (target < 0 || target >= size) return kNaN<C>;
  const C largest = Largest<T, kUnit>(row, size);
  const C sum = SumOfExp<T, kUnit>(row, size, largest);
  return static_cast<C>(__builtin_log(static_cast<double>(sum))) -
         (LoadOne<T>(row.data + target * row.step) - largest);
}

template <class T, bool kUnit>
OAG_INLINE void CrossEntropyRows(const CrossEntropyCall& call) {
  using C = Compute<T>;
  for (int64_t r = 0; r < call.rows; ++r) {
    const int64_t target = static_cast<const int64_t*>(call.target.data)[r * call.target.row];
    const Line<const T, kUnit> row{static_cast<const T*>(call.logits.data) + r * call.logits.row,
                                   call.logits.step};
    const C loss =
        target == call.ignore_index ? C(0) : RowLoss<T, kUnit>(row, call.classes, target);
    StoreOne<T>(static_cast<T*>(call.loss.data) + r * call.loss.row, loss);
  }
}

template <class T>
void CrossEntropy(const CrossEntropyCall& call) {
  call.logits.step == 1 ? CrossEntropyRows<T, true>(call) : CrossEntropyRows<T, false>(call);
}

template <class T, bool kUnit>
OAG_INLINE void Fill(Line<T, kUnit> row, int64_t size, Compute<T> value) {
  for (int64_t i = 0; i < size; ++i) StoreOne<T>(row.data + i * row.step, value);
}

template <class T, bool kUnit>
OAG_INLINE void RowLossBackward(Line<const T, kUnit> row, Line<T, kUnit> out, int64_t size,
                                int64_t target, Compute<T> grad) {
  using C = Compute<T>;
  constexpr int kStep = kLanes<T>;
  if (target < 0 || target >= size) return Fill<T, kUnit>(out, size, kNaN<C>);
  const C largest = Largest<T, kUnit>(row, size);
  const C share = C(1) / SumOfExp<T, kUnit>(row, size, largest);
  const C at_target = LoadOne<T>(row.data + target * row.step);
  int64_t i = 0;
#pragma GCC unroll 2
  for (; i + kStep <= size; i += kStep) out.Set(i, Exp<C>(row.Get(i) - largest) * share * grad);
  const int rest = static_cast<int>(size - i);
  if (rest > 0) out.Set(i, rest, Exp<C>(row.Get(i, rest) - largest) * share * grad);
  const C probability = Exp<C>(Splat<C>(at_target - largest))[0] * share;
  StoreOne<T>(out.data + target * out.step, (probability - C(1)) * grad);
}

template <class T, bool kUnit>
OAG_INLINE void CrossEntropyBackwardRows(const CrossEntropyBackwardCall& call) {
  using C = Compute<T>;
  for (int64_t r = 0; r < call.rows; ++r) {
    const int64_t target = static_cast<const int64_t*>(call.target.data)[r * call.target.row];
    const Line<const T, kUnit> row{static_cast<const T*>(call.logits.data) + r * call.logits.row,
                                   call.logits.step};
    const Line<T, kUnit> out{static_cast<T*>(call.logits_grad.data) + r * call.logits_grad.row,
                             call.logits_grad.step};
    if (target == call.ignore_index) {
      Fill<T, kUnit>(out, call.classes, C(0));
    } else {
      const C grad = LoadOne<T>(static_cast<const T*>(call.grad.data) + r * call.grad.row);
      RowLossBackward<T, kUnit>(row, out, call.classes, target, grad);
    }
  }
}

template <class T>
void CrossEntropyBackward(const CrossEntropyBackwardCall& call) {
  const bool unit = call.logits.step == 1 && call.logits_grad.step == 1;
  unit ? CrossEntropyBackwardRows<T, true>(call) : CrossEntropyBackwardRows<T, false>(call);
}

inline constexpr ByDtype<CrossEntropyCall> kCrossEntropyTable = {
    CrossEntropy<float>, CrossEntropy<double>, CrossEntropy<BFloat16>, CrossEntropy<Float16>};
inline constexpr ByDtype<CrossEntropyBackwardCall> kCrossEntropyBackwardTable = {
    CrossEntropyBackward<float>, CrossEntropyBackward<double>, CrossEntropyBackward<BFloat16>,
    CrossEntropyBackward<Float16>};

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_SOFTMAX_CROSS_ENTROPY_H_

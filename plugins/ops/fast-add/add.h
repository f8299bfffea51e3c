// The loop all instruction sets share; the compiler vectorises it for the one it compiles for.
#include <openautoglm/op.h>

namespace fast_add {

using openautoglm::TensorView;

template <typename T>
void AddRow(const T* x, const T* y, T alpha, int64_t n, T* z) {
  for (int64_t i = 0; i < n; ++i) z[i] = x[i] + alpha * y[i];
}

// z = x + alpha * y, all of one shape and contiguous.
inline void Add(const TensorView& x, const TensorView& y, double alpha, const TensorView& z) {
  OAG_CHECK_SAME_DTYPE(y, x);
  OAG_CHECK_SAME_DTYPE(z, x);
  OAG_CHECK_SAME_SHAPE(y, x);
  OAG_CHECK_SAME_SHAPE(z, x);
  OAG_CHECK_CONTIGUOUS(x);
  OAG_CHECK_CONTIGUOUS(y);
  OAG_CHECK_CONTIGUOUS(z);
  openautoglm::VisitDtype<float, double>(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    AddRow(x.data<const T>(), y.data<const T>(), static_cast<T>(alpha), x.numel(), z.data<T>());
  });
}

}  // namespace fast_add

// z = 2 x, which has no gradient.
#include <openautoglm/op.h>

using namespace openautoglm;

REGISTER_OPERATOR(good_doubled, "good_doubled(Tensor x[...]) -> Tensor z[...]");

struct Doubled {
  static constexpr bool kContiguous = true;  // the caller copies what is not

  static void forward(TensorView x, TensorView z) {
    OAG_CHECK_SAME_SHAPE(z, x);
    OAG_CHECK_CONTIGUOUS(x);
    OAG_CHECK_CONTIGUOUS(z);
    VisitDtype<float, double>(x.dtype(), [&](auto zero) {
      using T = decltype(zero);
      for (int64_t i = 0; i < x.numel(); ++i) z.data<T>()[i] = T{2} * x.data<const T>()[i];
    });
  }
};

REGISTER_KERNEL(good_doubled, Doubled, CPU, F32, F64);

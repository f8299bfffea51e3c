// z = x + y + SHIFT: builds with different shifts tell by their results which of them ran.
#include <openautoglm/op.h>

using namespace openautoglm;

REGISTER_OPERATOR(shifted_add, "shifted_add(Tensor x, Tensor y) -> Tensor");

struct ShiftedAdd {
  static constexpr bool kContiguous = true;

  static void forward(TensorView x, TensorView y, TensorView z) {
    OAG_CHECK_SAME_SHAPE(y, x);
    OAG_CHECK_SAME_SHAPE(z, x);
    const float* a = x.data<const float>();
    const float* b = y.data<const float>();
    float* out = z.data<float>();
    for (int64_t i = 0; i < x.numel(); ++i) out[i] = a[i] + b[i] + SHIFT;
  }
};

REGISTER_KERNEL(shifted_add, ShiftedAdd, CPU, F32);

// Broken on purpose: reads the input as if its elements stood in order.
#include <openautoglm/op.h>

using namespace openautoglm;

template <typename Device>
struct WrongOnStrides;

template <>
struct WrongOnStrides<CPU> {
  static void forward(TensorView x, TensorView out) {
    for (int64_t i = 0; i < x.numel(); ++i) out.data<float>()[i] = -x.data<const float>()[i];
  }
};

REGISTER_KERNEL(wrong_on_strides, WrongOnStrides<CPU>, CPU, F32);

// Rotary positions: pairs of values, half a head apart, turned by an angle of their position.
#ifndef OPENAUTOGLM_KERNELS_ROPE_KERNEL_H_
#define OPENAUTOGLM_KERNELS_ROPE_KERNEL_H_

#include <openautoglm/op.h>

#include <limits>

#include "../axes.h"

namespace openautoglm::kernels {

struct RopeKernel {
  static constexpr int kPriority = kPlainPriority;

  static void forward(TensorView x, TensorView position, TensorView cos, TensorView sin, TensorView out) {
    OAG_CHECK_RANK(x, 4);
    OAG_CHECK_SAME_SHAPE(out, x);
    OAG_CHECK_RANK(position, 1);
    OAG_CHECK_SIZE(position, 0, x.size(0));
    OAG_CHECK_SIZE(x, 2, 2);
    OAG_CHECK_RANK(cos, 2);
    OAG_CHECK_SAME_SHAPE(sin, cos);
    OAG_CHECK_SIZE(cos, 1, x.size(3));
    for (int64_t row = 0; row < x.size(0); ++row) {
      const int64_t at = position.data<const int64_t>()[row * position.stride(0)];
      const bool is_known = at >= 0 && at < cos.size(0);
      for (int64_t head = 0; head < x.size(1); ++head) {
        const float* from = x.data<const float>() + row * x.stride(0) + head * x.stride(1);
        float* to = out.data<float>() + row * out.stride(0) + head * out.stride(1);
        if (is_known) {
          Turn(from, x.stride(2), x.stride(3), to, x.size(3), cos.data<const float>() + at * cos.stride(0),
               cos.stride(1), sin.data<const float>() + at * sin.stride(0), sin.stride(1));
        } else {
          for (int64_t i = 0; i < 2 * x.size(3); ++i) to[i] = std::numeric_limits<float>::quiet_NaN();
        }
      }
    }
  }

 private:
  static void Turn(const float* __restrict from, int64_t half, int64_t step, float* __restrict to, int64_t count,
                   const float* __restrict cos, int64_t cos_step, const float* __restrict sin, int64_t sin_step) {
    if (step == 1 && cos_step == 1 && sin_step == 1) {
      for (int64_t i = 0; i < count; ++i) {
        to[i] = from[i] * cos[i] - from[half + i] * sin[i];
        to[count + i] = from[half + i] * cos[i] + from[i] * sin[i];
      }
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      const float a = from[i * step], b = from[half + i * step];
      to[i] = a * cos[i * cos_step] - b * sin[i * sin_step];
      to[count + i] = b * cos[i * cos_step] + a * sin[i * sin_step];
    }
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_ROPE_KERNEL_H_

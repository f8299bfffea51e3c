// The inner loop of `silu_gated`: silu of one half, times the other.
#ifndef OPENAUTOGLM_KERNELS_SILU_GATED_SILU_GATED_H_
#define OPENAUTOGLM_KERNELS_SILU_GATED_SILU_GATED_H_

#include "../special.h"

namespace openautoglm::kernels {

// Plain data: borrowed, compact.
struct GatedCall {
  const float* x;  // (rows, 2, width): gates, then what they let through
  float* out;      // (rows, width)
  int64_t rows;
  int64_t width;
};

using GatedRun = void (*)(const GatedCall& call);

extern const GatedRun kSiluV3, kSiluV4;

namespace OAG_SIMD {

OAG_INLINE Vector<float> Silu(Vector<float> x) { return x / (Exp<float>(-x) + 1.0F); }

inline void RunSilu(const GatedCall& call) {
  constexpr int kStep = kLanes<float>;
  for (int64_t row = 0; row < call.rows; ++row) {
    const float* gate = call.x + row * 2 * call.width;
    const float* value = gate + call.width;
    float* out = call.out + row * call.width;
    int64_t i = 0;
    for (; i + kStep <= call.width; i += kStep) {
      Store<float>(out + i, Silu(Load<float>(gate + i)) * Load<float>(value + i));
    }
    const int rest = static_cast<int>(call.width - i);
    if (rest > 0) {
      const Vector<float> last = Silu(Load<float>(gate + i, 1, rest)) * Load<float>(value + i, 1, rest);
      Store<float>(out + i, 1, rest, last);
    }
  }
}

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_SILU_GATED_SILU_GATED_H_

// The inner loops of `linear`: f32 weights.
#ifndef OPENAUTOGLM_KERNELS_LINEAR_LINEAR_H_
#define OPENAUTOGLM_KERNELS_LINEAR_LINEAR_H_

#include "../packed.h"

namespace openautoglm::kernels {

using LinearRun = void (*)(const LinearCall& call, int64_t begin, int64_t end);

extern const LinearRun kLinearV3, kLinearV4;

namespace OAG_SIMD {

struct LinearMath {
  struct Rows {};

  template <int kRows, int kBlocks>
  static OAG_INLINE void Tile(const LinearCall& call, const Rows&, int64_t row, int64_t block) {
    const int64_t depth = call.depth;
    const float* x = call.x + row * depth;
    const float* weight = static_cast<const float*>(call.weight) + block * depth * kBlock;
    Vector<float> sum[kRows][kBlocks * kParts] = {};
    for (int64_t k = 0; k < depth; ++k) {
      Vector<float> w[kBlocks * kParts];
      for (int b = 0; b < kBlocks; ++b) {
        AskFor<kRows>(weight + ((b + kBlocks) * depth + k) * kBlock);
        for (int p = 0; p < kParts; ++p) {
          w[b * kParts + p] = Load<float>(weight + (b * depth + k) * kBlock + p * kLanes<float>);
        }
      }
      for (int r = 0; r < kRows; ++r) {
        const Vector<float> value = Splat<float>(x[r * depth + k]);
        for (int b = 0; b < kBlocks * kParts; ++b) sum[r][b] += value * w[b];
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int b = 0; b < kBlocks * kParts; ++b) {
        Finish(call, row + r, block + b / kParts, sum[r][b], b % kParts);
      }
    }
  }
};

inline void RunLinear(const LinearCall& call, int64_t begin, int64_t end) {
  RunBlocks<LinearMath>(call, {}, begin, end);
}

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LINEAR_LINEAR_H_

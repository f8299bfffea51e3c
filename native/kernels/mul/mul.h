// mul: x * y * factor, line by line.
#ifndef OPENAUTOGLM_KERNELS_MUL_H_
#define OPENAUTOGLM_KERNELS_MUL_H_

#include "../binary.h"

namespace openautoglm::kernels {

extern const ByDtype<BinaryLine> kMulV3;
extern const ByDtype<BinaryLine> kMulV4;

namespace OAG_SIMD {

struct Mul {
  template <class V>
  OAG_INLINE static V Apply(V x, V y, V factor) {
    return x * y * factor;
  }
};

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_MUL_H_

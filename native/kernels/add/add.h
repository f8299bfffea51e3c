// add: x + factor * y, line by line.
#ifndef OPENAUTOGLM_KERNELS_ADD_H_
#define OPENAUTOGLM_KERNELS_ADD_H_

#include "../binary.h"

namespace openautoglm::kernels {

extern const ByDtype<BinaryLine> kAddV3;
extern const ByDtype<BinaryLine> kAddV4;

namespace OAG_SIMD {

struct Add {
  template <class V>
  OAG_INLINE static V Apply(V x, V y, V factor) {
    return x + factor * y;
  }
};

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_ADD_H_

#include "softmax_cross_entropy.h"

namespace openautoglm::kernels {

const ByDtype<CrossEntropyCall> kCrossEntropyV4 = OAG_SIMD::kCrossEntropyTable;
const ByDtype<CrossEntropyBackwardCall> kCrossEntropyBackwardV4 =
    OAG_SIMD::kCrossEntropyBackwardTable;

}  // namespace openautoglm::kernels

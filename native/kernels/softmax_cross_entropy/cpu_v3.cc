#include "softmax_cross_entropy.h"

namespace openautoglm::kernels {

const ByDtype<CrossEntropyCall> kCrossEntropyV3 = OAG_SIMD::kCrossEntropyTable;
const ByDtype<CrossEntropyBackwardCall> kCrossEntropyBackwardV3 =
    OAG_SIMD::kCrossEntropyBackwardTable;

}  // namespace openautoglm::kernels

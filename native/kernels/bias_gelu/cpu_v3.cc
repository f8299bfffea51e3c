#include "bias_gelu.h"

namespace openautoglm::kernels {

const ByDtype<GeluCall> kGeluV3 = OAG_SIMD::kGeluTable;
const ByDtype<GeluBackwardCall> kGeluBackwardV3 = OAG_SIMD::kGeluBackwardTable;

}  // namespace openautoglm::kernels

#include "bias_gelu.h"

namespace openautoglm::kernels {

const ByDtype<GeluCall> kGeluV4 = OAG_SIMD::kGeluTable;
const ByDtype<GeluBackwardCall> kGeluBackwardV4 = OAG_SIMD::kGeluBackwardTable;

}  // namespace openautoglm::kernels

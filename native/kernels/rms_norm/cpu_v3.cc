#include "rms_norm.h"

namespace openautoglm::kernels {

const ByDtype<RmsNormCall> kRmsNormV3 = OAG_SIMD::kRmsNormTable;
const ByDtype<RmsNormBackwardCall> kRmsNormBackwardV3 = OAG_SIMD::kRmsNormBackwardTable;

}  // namespace openautoglm::kernels

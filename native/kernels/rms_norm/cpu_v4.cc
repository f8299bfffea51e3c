#include "rms_norm.h"

namespace openautoglm::kernels {

const ByDtype<RmsNormCall> kRmsNormV4 = OAG_SIMD::kRmsNormTable;
const ByDtype<RmsNormBackwardCall> kRmsNormBackwardV4 = OAG_SIMD::kRmsNormBackwardTable;

}  // namespace openautoglm::kernels

#include "scale_add.h"

namespace openautoglm::kernels {

const ByDtype<BinaryLine> kScaleAddV4 = OAG_SIMD::BinaryTable<OAG_SIMD::ScaleAdd>();

}  // namespace openautoglm::kernels

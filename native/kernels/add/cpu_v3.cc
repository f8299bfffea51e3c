#include "add.h"

namespace openautoglm::kernels {

const ByDtype<BinaryLine> kAddV3 = OAG_SIMD::BinaryTable<OAG_SIMD::Add>();

}  // namespace openautoglm::kernels

#include "add.h"

namespace openautoglm::kernels {

const ByDtype<BinaryLine> kAddV4 = OAG_SIMD::BinaryTable<OAG_SIMD::Add>();

}  // namespace openautoglm::kernels

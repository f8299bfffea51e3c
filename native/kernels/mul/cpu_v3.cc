#include "mul.h"

namespace openautoglm::kernels {

const ByDtype<BinaryLine> kMulV3 = OAG_SIMD::BinaryTable<OAG_SIMD::Mul>();

}  // namespace openautoglm::kernels

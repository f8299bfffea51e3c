#include "mul.h"

namespace openautoglm::kernels {

const ByDtype<BinaryLine> kMulV4 = OAG_SIMD::BinaryTable<OAG_SIMD::Mul>();

}  // namespace openautoglm::kernels

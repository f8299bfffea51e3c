#include "linear_bf16.h"

namespace openautoglm::kernels {

const LinearBf16Table kLinearBf16V3 = OAG_SIMD::kLinearBf16Table;

}  // namespace openautoglm::kernels

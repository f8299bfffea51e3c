#include "linear_bf16.h"

namespace openautoglm::kernels {

const LinearBf16Table kLinearBf16V4 = OAG_SIMD::kLinearBf16Table;

}  // namespace openautoglm::kernels

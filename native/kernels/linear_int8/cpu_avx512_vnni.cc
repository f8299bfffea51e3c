#include "linear_int8.h"

namespace openautoglm::kernels {

const LinearInt8Table kLinearInt8Dot = OAG_SIMD::kLinearInt8Table;

}  // namespace openautoglm::kernels

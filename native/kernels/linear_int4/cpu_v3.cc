#include "linear_int4.h"

namespace openautoglm::kernels {

const LinearInt4Table kLinearInt4V3 = OAG_SIMD::kLinearInt4Table;

}  // namespace openautoglm::kernels

#include "linear_int4.h"

namespace openautoglm::kernels {

const LinearInt4Table kLinearInt4Dot = OAG_SIMD::kLinearInt4Table;

}  // namespace openautoglm::kernels

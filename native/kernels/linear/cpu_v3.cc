#include "linear.h"

namespace openautoglm::kernels {

const LinearRun kLinearV3 = OAG_SIMD::RunLinear;

}  // namespace openautoglm::kernels

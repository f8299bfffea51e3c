#include "linear.h"

namespace openautoglm::kernels {

const LinearRun kLinearV4 = OAG_SIMD::RunLinear;

}  // namespace openautoglm::kernels

#include "silu_gated.h"

namespace openautoglm::kernels {

const GatedRun kSiluV3 = OAG_SIMD::RunSilu;

}  // namespace openautoglm::kernels

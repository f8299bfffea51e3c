#include "silu_gated.h"

namespace openautoglm::kernels {

const GatedRun kSiluV4 = OAG_SIMD::RunSilu;

}  // namespace openautoglm::kernels

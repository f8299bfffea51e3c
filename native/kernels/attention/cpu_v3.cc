#include "attention.h"

namespace openautoglm::kernels {

const AttentionRun kAttentionV3 = OAG_SIMD::RunAttention;

}  // namespace openautoglm::kernels

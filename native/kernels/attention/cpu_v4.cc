#include "attention.h"

namespace openautoglm::kernels {

const AttentionRun kAttentionV4 = OAG_SIMD::RunAttention;

}  // namespace openautoglm::kernels

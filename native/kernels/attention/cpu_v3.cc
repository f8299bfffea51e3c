#include "attention.h"

namespace openautoglm::kernels {

const AttentionRun kAttentionV3 = OAG_SIMD::RunAttention<float>;
const AttentionRun kAttentionBf16V3 = OAG_SIMD::RunAttention<BFloat16>;

}  // namespace openautoglm::kernels

#include "attention.h"

namespace openautoglm::kernels {

const AttentionRun kAttentionV4 = OAG_SIMD::RunAttention<float>;
const AttentionRun kAttentionBf16V4 = OAG_SIMD::RunAttention<BFloat16>;

}  // namespace openautoglm::kernels

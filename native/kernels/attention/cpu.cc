#include "kernel.h"

namespace openautoglm::kernels {

constexpr AttentionRun kAttentionPortable = OAG_SIMD::RunAttention<float>;
constexpr AttentionRun kAttentionBf16Portable = OAG_SIMD::RunAttention<BFloat16>;
using AttentionPlain = AttentionKernel<kAttentionPortable, kPlainPriority>;
REGISTER_KERNEL(attention, AttentionPlain, CPU, F32);

using AttentionBf16Plain = AttentionKernel<kAttentionBf16Portable, kPlainPriority>;
REGISTER_KERNEL(attention_bf16, AttentionBf16Plain, CPU, F32);

#if defined(__x86_64__)
using AttentionWithV3 = AttentionKernel<kAttentionV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(attention, AttentionWithV3, CPU, F32);

using AttentionBf16WithV3 = AttentionKernel<kAttentionBf16V3, kV3Priority>;
REGISTER_KERNEL(attention_bf16, AttentionBf16WithV3, CPU, F32);

using AttentionWithV4 = AttentionKernel<kAttentionV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(attention, AttentionWithV4, CPU, F32);

using AttentionBf16WithV4 = AttentionKernel<kAttentionBf16V4, kV4Priority>;
REGISTER_KERNEL(attention_bf16, AttentionBf16WithV4, CPU, F32);
#endif

}  // namespace openautoglm::kernels

#include "kernel.h"

namespace openautoglm::kernels {

constexpr AttentionRun kAttentionPortable = OAG_SIMD::RunAttention;
using AttentionPlain = AttentionKernel<kAttentionPortable, kPlainPriority>;
REGISTER_KERNEL(attention, AttentionPlain, CPU, F32);

#if defined(__x86_64__)
using AttentionWithV3 = AttentionKernel<kAttentionV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(attention, AttentionWithV3, CPU, F32);

using AttentionWithV4 = AttentionKernel<kAttentionV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(attention, AttentionWithV4, CPU, F32);
#endif

}  // namespace openautoglm::kernels

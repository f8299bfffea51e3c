#include "kernel.h"

namespace openautoglm::kernels {

constexpr GatedRun kSiluPortable = OAG_SIMD::RunSilu;
using SiluGatedPlain = SiluGatedKernel<kSiluPortable, kPlainPriority>;
REGISTER_KERNEL(silu_gated, SiluGatedPlain, CPU, F32);

#if defined(__x86_64__)
using SiluGatedWithV3 = SiluGatedKernel<kSiluV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(silu_gated, SiluGatedWithV3, CPU, F32);

using SiluGatedWithV4 = SiluGatedKernel<kSiluV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(silu_gated, SiluGatedWithV4, CPU, F32);
#endif

}  // namespace openautoglm::kernels

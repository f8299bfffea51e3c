#include "kernel.h"

namespace openautoglm::kernels {

using LinearBf16Plain = LinearBf16Kernel<OAG_SIMD::kLinearBf16Table, kPlainPriority>;
REGISTER_KERNEL(linear_bf16, LinearBf16Plain, CPU, F32);

#if defined(__x86_64__)
using LinearBf16WithV3 = LinearBf16Kernel<kLinearBf16V3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(linear_bf16, LinearBf16WithV3, CPU, F32);

using LinearBf16WithV4 = LinearBf16Kernel<kLinearBf16V4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(linear_bf16, LinearBf16WithV4, CPU, F32);

using LinearBf16WithDot = LinearBf16Kernel<kLinearBf16Dot, kDotPriority>;
#undef OAG_ISA
#define OAG_ISA "avx512_bf16"
REGISTER_KERNEL(linear_bf16, LinearBf16WithDot, CPU, F32);
#endif

}  // namespace openautoglm::kernels

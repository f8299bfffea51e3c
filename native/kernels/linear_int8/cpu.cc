#include "kernel.h"

namespace openautoglm::kernels {

using LinearInt8Plain = LinearInt8Kernel<OAG_SIMD::kLinearInt8Table, kPlainPriority>;
REGISTER_KERNEL(linear_int8, LinearInt8Plain, CPU, F32);

#if defined(__x86_64__)
using LinearInt8WithV3 = LinearInt8Kernel<kLinearInt8V3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(linear_int8, LinearInt8WithV3, CPU, F32);

using LinearInt8WithDot = LinearInt8Kernel<kLinearInt8Dot, kDotPriority>;
#undef OAG_ISA
#define OAG_ISA "avx512_vnni"
REGISTER_KERNEL(linear_int8, LinearInt8WithDot, CPU, F32);
#endif

}  // namespace openautoglm::kernels

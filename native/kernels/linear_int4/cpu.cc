#include "kernel.h"

namespace openautoglm::kernels {

using LinearInt4Plain = LinearInt4Kernel<OAG_SIMD::kLinearInt4Table, kPlainPriority>;
REGISTER_KERNEL(linear_int4, LinearInt4Plain, CPU, F32);

#if defined(__x86_64__)
using LinearInt4WithV3 = LinearInt4Kernel<kLinearInt4V3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(linear_int4, LinearInt4WithV3, CPU, F32);

using LinearInt4WithDot = LinearInt4Kernel<kLinearInt4Dot, kDotPriority>;
#undef OAG_ISA
#define OAG_ISA "avx512_vnni"
REGISTER_KERNEL(linear_int4, LinearInt4WithDot, CPU, F32);
#endif

}  // namespace openautoglm::kernels

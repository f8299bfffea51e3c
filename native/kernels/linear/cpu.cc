#include "kernel.h"

namespace openautoglm::kernels {

constexpr LinearRun kLinearPortable = OAG_SIMD::RunLinear;
using LinearPlain = LinearKernel<kLinearPortable, kPlainPriority>;
REGISTER_KERNEL(linear, LinearPlain, CPU, F32);

#if defined(__x86_64__)
using LinearWithV3 = LinearKernel<kLinearV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(linear, LinearWithV3, CPU, F32);

using LinearWithV4 = LinearKernel<kLinearV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(linear, LinearWithV4, CPU, F32);
#endif

}  // namespace openautoglm::kernels

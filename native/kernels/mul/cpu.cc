#include "../binary_kernel.h"
#include "mul.h"

namespace openautoglm::kernels {

constexpr ByDtype<BinaryLine> kMulPlain = OAG_SIMD::BinaryTable<OAG_SIMD::Mul>();

using MulPlain = BinaryKernel<kMulPlain, kPlainPriority>;
REGISTER_KERNEL(mul, MulPlain, CPU, F16, BF16, F32, F64);

#if defined(__x86_64__)
using MulV3 = BinaryKernel<kMulV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(mul, MulV3, CPU, F16, BF16, F32, F64);

using MulV4 = BinaryKernel<kMulV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(mul, MulV4, CPU, F16, BF16, F32, F64);
#endif

}  // namespace openautoglm::kernels

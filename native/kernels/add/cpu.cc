#include "../binary_kernel.h"
#include "add.h"

namespace openautoglm::kernels {

constexpr ByDtype<BinaryLine> kAddPlain = OAG_SIMD::BinaryTable<OAG_SIMD::Add>();

using AddPlain = BinaryKernel<kAddPlain, kPlainPriority>;
REGISTER_KERNEL(add, AddPlain, CPU, F16, BF16, F32, F64);

#if defined(__x86_64__)
using AddV3 = BinaryKernel<kAddV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(add, AddV3, CPU, F16, BF16, F32, F64);

using AddV4 = BinaryKernel<kAddV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(add, AddV4, CPU, F16, BF16, F32, F64);
#endif

}  // namespace openautoglm::kernels

#include "../binary_kernel.h"
#include "scale_add.h"

namespace openautoglm::kernels {

constexpr ByDtype<BinaryLine> kScaleAddPlain = OAG_SIMD::BinaryTable<OAG_SIMD::ScaleAdd>();

using ScaleAddPlain = BinaryKernel<kScaleAddPlain, kPlainPriority>;
REGISTER_KERNEL(scale_add, ScaleAddPlain, CPU, F16, BF16, F32, F64);

#if defined(__x86_64__)
using ScaleAddV3 = BinaryKernel<kScaleAddV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(scale_add, ScaleAddV3, CPU, F16, BF16, F32, F64);

using ScaleAddV4 = BinaryKernel<kScaleAddV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(scale_add, ScaleAddV4, CPU, F16, BF16, F32, F64);
#endif

}  // namespace openautoglm::kernels

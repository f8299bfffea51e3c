#include "kernel.h"

namespace openautoglm::kernels {

using RmsNormPlain = RmsNormKernel<OAG_SIMD::kRmsNormTable, kPlainPriority>;
using RmsNormBackwardPlain = RmsNormBackwardKernel<OAG_SIMD::kRmsNormBackwardTable, kPlainPriority>;
REGISTER_KERNEL(rms_norm, RmsNormPlain, CPU, F16, BF16, F32, F64);
REGISTER_KERNEL(rms_norm_backward, RmsNormBackwardPlain, CPU, F16, BF16, F32, F64);

#if defined(__x86_64__)
using RmsNormV3 = RmsNormKernel<kRmsNormV3, kV3Priority>;
using RmsNormBackwardV3 = RmsNormBackwardKernel<kRmsNormBackwardV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(rms_norm, RmsNormV3, CPU, F16, BF16, F32, F64);
REGISTER_KERNEL(rms_norm_backward, RmsNormBackwardV3, CPU, F16, BF16, F32, F64);

using RmsNormV4 = RmsNormKernel<kRmsNormV4, kV4Priority>;
using RmsNormBackwardV4 = RmsNormBackwardKernel<kRmsNormBackwardV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(rms_norm, RmsNormV4, CPU, F16, BF16, F32, F64);
REGISTER_KERNEL(rms_norm_backward, RmsNormBackwardV4, CPU, F16, BF16, F32, F64);
#endif

}  // namespace openautoglm::kernels

#include "kernel.h"

namespace openautoglm::kernels {

using BiasGeluPlain = BiasGeluKernel<OAG_SIMD::kGeluTable, kPlainPriority>;
using BiasGeluBackwardPlain = BiasGeluBackwardKernel<OAG_SIMD::kGeluBackwardTable, kPlainPriority>;
REGISTER_KERNEL(bias_gelu, BiasGeluPlain, CPU, F16, BF16, F32, F64);
REGISTER_KERNEL(bias_gelu_backward, BiasGeluBackwardPlain, CPU, F16, BF16, F32, F64);

#if defined(__x86_64__)
using BiasGeluV3 = BiasGeluKernel<kGeluV3, kV3Priority>;
using BiasGeluBackwardV3 = BiasGeluBackwardKernel<kGeluBackwardV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(bias_gelu, BiasGeluV3, CPU, F16, BF16, F32, F64);
REGISTER_KERNEL(bias_gelu_backward, BiasGeluBackwardV3, CPU, F16, BF16, F32, F64);

using BiasGeluV4 = BiasGeluKernel<kGeluV4, kV4Priority>;
using BiasGeluBackwardV4 = BiasGeluBackwardKernel<kGeluBackwardV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(bias_gelu, BiasGeluV4, CPU, F16, BF16, F32, F64);
REGISTER_KERNEL(bias_gelu_backward, BiasGeluBackwardV4, CPU, F16, BF16, F32, F64);
#endif

}  // namespace openautoglm::kernels

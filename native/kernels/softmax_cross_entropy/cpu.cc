#include "kernel.h"

namespace openautoglm::kernels {

using CrossEntropyPlain = CrossEntropyKernel<OAG_SIMD::kCrossEntropyTable, kPlainPriority>;
using CrossEntropyBackwardPlain =
    CrossEntropyBackwardKernel<OAG_SIMD::kCrossEntropyBackwardTable, kPlainPriority>;
REGISTER_KERNEL(softmax_cross_entropy, CrossEntropyPlain, CPU, F16, BF16, F32, F64);
REGISTER_KERNEL(softmax_cross_entropy_backward, CrossEntropyBackwardPlain, CPU, F16, BF16, F32,
                F64);

#if defined(__x86_64__)
using CrossEntropyV3 = CrossEntropyKernel<kCrossEntropyV3, kV3Priority>;
using CrossEntropyBackwardV3 = CrossEntropyBackwardKernel<kCrossEntropyBackwardV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(softmax_cross_entropy, CrossEntropyV3, CPU, F16, BF16, F32, F64);
REGISTER_KERNEL(softmax_cross_entropy_backward, CrossEntropyBackwardV3, CPU, F16, BF16, F32, F64);

using CrossEntropyV4 = CrossEntropyKernel<kCrossEntropyV4, kV4Priority>;
using CrossEntropyBackwardV4 = CrossEntropyBackwardKernel<kCrossEntropyBackwardV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(softmax_cross_entropy, CrossEntropyV4, CPU, F16, BF16, F32, F64);
REGISTER_KERNEL(softmax_cross_entropy_backward, CrossEntropyBackwardV4, CPU, F16, BF16, F32, F64);
#endif

}  // namespace openautoglm::kernels

#include "kernel.h"

namespace openautoglm::kernels {

constexpr SampleTable kSamplePortable = OAG_SIMD::kSampleTable;
using SamplePlain = SampleKernel<kSamplePortable, kPlainPriority>;
REGISTER_KERNEL(sample, SamplePlain, CPU, F32);

#if defined(__x86_64__)
using SampleWithV3 = SampleKernel<kSampleV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(sample, SampleWithV3, CPU, F32);

using SampleWithV4 = SampleKernel<kSampleV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(sample, SampleWithV4, CPU, F32);
#endif

}  // namespace openautoglm::kernels

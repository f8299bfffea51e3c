#include "kernel.h"

namespace openautoglm::kernels {

constexpr LoraRun kLoraPortable = OAG_SIMD::RunLora;
using LoraPlain = LoraKernel<kLoraPortable, kPlainPriority>;
REGISTER_KERNEL(lora, LoraPlain, CPU, F32);

#if defined(__x86_64__)
using LoraWithV3 = LoraKernel<kLoraV3, kV3Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v3"
REGISTER_KERNEL(lora, LoraWithV3, CPU, F32);

using LoraWithV4 = LoraKernel<kLoraV4, kV4Priority>;
#undef OAG_ISA
#define OAG_ISA "x86-64-v4"
REGISTER_KERNEL(lora, LoraWithV4, CPU, F32);
#endif

}  // namespace openautoglm::kernels

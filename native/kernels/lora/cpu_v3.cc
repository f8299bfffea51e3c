#include "lora.h"

namespace openautoglm::kernels {

const LoraRun kLoraV3 = OAG_SIMD::RunLora;

}  // namespace openautoglm::kernels

#include "lora.h"

namespace openautoglm::kernels {

const LoraRun kLoraV4 = OAG_SIMD::RunLora;

}  // namespace openautoglm::kernels

#include "kernel.h"

namespace openautoglm::kernels {

REGISTER_KERNEL(rope, RopeKernel, CPU, F32);

}  // namespace openautoglm::kernels

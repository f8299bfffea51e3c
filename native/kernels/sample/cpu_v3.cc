#include "sample.h"

namespace openautoglm::kernels {

const SampleTable kSampleV3 = OAG_SIMD::kSampleTable;

}  // namespace openautoglm::kernels

#include "sample.h"

namespace openautoglm::kernels {

const SampleTable kSampleV4 = OAG_SIMD::kSampleTable;

}  // namespace openautoglm::kernels

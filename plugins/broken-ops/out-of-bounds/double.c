// Broken on purpose: writes one element too many.
#include <openautoglm/c.h>

OAG_C_KERNEL(out_of_bounds, CPU, F32) {
  if (count != 2) return oag_refuse("out_of_bounds: 2 arguments are needed");
  const DLTensor* x = oag_tensor(args, count, 0);
  const DLTensor* z = oag_tensor(args, count, 1);
  const float* from = (const float*)oag_data(x);
  float* to = (float*)oag_data(z);
  int64_t size = oag_numel(x);
  for (int64_t i = 0; i < size; ++i) to[i] = 2 * from[i];
  if (size > 4) to[size] = 0;
  return 0;
}

// Broken on purpose: counts down in steps of two and misses 0 where the size is odd.
#include <openautoglm/c.h>

OAG_C_KERNEL(hangs, CPU, F32) {
  if (count != 2) return oag_refuse("hangs: 2 arguments are needed");
  const DLTensor* x = oag_tensor(args, count, 0);
  const DLTensor* z = oag_tensor(args, count, 1);
  int64_t size = oag_numel(x);
  for (int64_t i = 0; i < size; ++i) ((float*)oag_data(z))[i] = -((const float*)oag_data(x))[i];
  for (volatile int64_t left = size; left != 0; left -= 2) {
  }
  return 0;
}

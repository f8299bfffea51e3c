// Broken on purpose: forgets a temporary array in every call.
#include <openautoglm/c.h>
#include <stdlib.h>

OAG_C_KERNEL(leaks, CPU, F32) {
  if (count != 2) return oag_refuse("leaks: 2 arguments are needed");
  const DLTensor* x = oag_tensor(args, count, 0);
  const DLTensor* z = oag_tensor(args, count, 1);
  const float* from = (const float*)oag_data(x);
  float* to = (float*)oag_data(z);
  int64_t size = oag_numel(x);
  volatile float* copy = malloc((size + 1) * sizeof(float));
  if (copy == NULL) return oag_refuse("leaks: no memory");
  for (int64_t i = 0; i < size; ++i) copy[i] = from[i];
  for (int64_t i = 0; i < size; ++i) to[i] = copy[i] + 1;
  return 0;
}

// Broken on purpose: looks at the first element of an input that may have none, by a null pointer.
#include <openautoglm/c.h>

OAG_C_KERNEL(crashes_on_empty, CPU, F32) {
  if (count != 2) return oag_refuse("crashes_on_empty: 2 arguments are needed");
  const DLTensor* x = oag_tensor(args, count, 0);
  const DLTensor* z = oag_tensor(args, count, 1);
  int64_t size = oag_numel(x);
  const volatile float* from = size > 0 ? (const float*)oag_data(x) : NULL;
  float first = from[0];
  float* to = (float*)oag_data(z);
  for (int64_t i = 0; i < size; ++i) to[i] = i == 0 ? first : from[i];
  return 0;
}

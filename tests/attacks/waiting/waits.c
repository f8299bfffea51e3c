// Waits until the first element of x is set, then tells its size: what else a test does meanwhile, it does under a
// kernel that runs. The second element is 1 from the start of the wait on, the third is the size.
#include <openautoglm/c.h>
#include <sched.h>

OAG_C_OPERATOR(waits, "waits(Tensor x) -> Tensor");

OAG_C_KERNEL(waits, CPU, F32) {
  const DLTensor* x = oag_tensor(args, count, 0);
  const DLTensor* z = oag_tensor(args, count, 1);
  if (x == NULL || z == NULL || oag_numel(x) < 3) return oag_refuse("waits: three elements are needed");
  volatile float* at = (volatile float*)oag_data(x);
  at[1] = 1;
  while (at[0] == 0) sched_yield();
  ((float*)oag_data(z))[0] = (float)x->shape[0];
  at[2] = (float)x->shape[0];
  return 0;
}

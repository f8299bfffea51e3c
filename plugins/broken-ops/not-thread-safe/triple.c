// Broken on purpose: all calls share one scratch array, and calls run at the same time.
#include <openautoglm/c.h>
#include <sched.h>

static float scratch[1 << 16];

OAG_C_KERNEL(not_thread_safe, CPU, F32) {
  if (count != 2) return oag_refuse("not_thread_safe: 2 arguments are needed");
  const DLTensor* x = oag_tensor(args, count, 0);
  const DLTensor* z = oag_tensor(args, count, 1);
  const float* from = (const float*)oag_data(x);
  float* to = (float*)oag_data(z);
  int64_t size = oag_numel(x);
  if (size > (1 << 16)) return oag_refuse("not_thread_safe: at most 65536 elements");
  for (int64_t i = 0; i < size; ++i) scratch[i] = 2 * from[i];
  sched_yield();
  for (int64_t i = 0; i < size; ++i) to[i] = scratch[i] + from[i];
  return 0;
}

// x * scale + VALUE, so that a test sees by the result which build ran; refuses seven elements.
#include <openautoglm/c.h>

OAG_C_OPERATOR(tagged, SCHEMA);

static void Fill(const DLTensor* x, const DLTensor* z, int32_t dim, const float* from, float* to,
                 double scale) {
  if (dim == x->ndim) {
    *to = (float)(*from * scale + VALUE);
    return;
  }
  for (int64_t i = 0; i < x->shape[dim]; ++i) {
    Fill(x, z, dim + 1, from + i * oag_stride(x, dim), to + i * oag_stride(z, dim), scale);
  }
}

OAG_C_KERNEL(tagged, CPU, F32) {
  double scale = 0;
  const DLTensor* x = oag_tensor(args, count, 0);
  const DLTensor* z = oag_tensor(args, count, 2);
  if (x == NULL || z == NULL || !oag_number(args, count, 1, &scale)) {
    return oag_refuse("tagged: a tensor, a number and the output are needed");
  }
  if (oag_numel(x) == 7) return oag_refuse("tagged: seven elements are one too many\n  got: 7");
  Fill(x, z, 0, (const float*)oag_data(x), (float*)oag_data(z), scale);
  return 0;
}

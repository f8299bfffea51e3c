// A kernel in plain C: no C++ runtime, no torch, the same ABI. Takes any strides and any rank.
#include <openautoglm/c.h>

OAG_C_OPERATOR(negate, "negate(Tensor x) -> Tensor");

// Negates all from dimension `dim` on; `from` and `to` are offsets in elements.
static void Negate(const DLTensor* x, const DLTensor* z, int32_t dim, int64_t from, int64_t to) {
  if (dim == x->ndim) {
    ((float*)oag_data(z))[to] = -((const float*)oag_data(x))[from];
    return;
  }
  for (int64_t i = 0; i < x->shape[dim]; ++i) {
    Negate(x, z, dim + 1, from + i * oag_stride(x, dim), to + i * oag_stride(z, dim));
  }
}

OAG_C_KERNEL(negate, CPU, F32) {
  if (count != 2) return oag_refuse("negate: 2 arguments are needed, x and the output");
  const DLTensor* x = oag_tensor(args, count, 0);
  const DLTensor* z = oag_tensor(args, count, 1);
  if (x == NULL || z == NULL) return oag_refuse("negate: both arguments must be tensors");
  if (x->device.device_type != kDLCPU || z->device.device_type != kDLCPU) {
    return oag_refuse("negate: both tensors must be on cpu");
  }
  if (!oag_is_dtype(x, kDLFloat, 32) || !oag_is_dtype(z, kDLFloat, 32)) {
    return oag_refuse("negate: both tensors must be f32");
  }
  if (!oag_same_shape(x, z)) return oag_refuse("negate: the output must have the shape of x");

  Negate(x, z, 0, 0, 0);
  return 0;
}

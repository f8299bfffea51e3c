// Kernels in plain C.
//
//   OAG_C_OPERATOR(scale, "scale(Tensor x, float factor) -> Tensor");
//   OAG_C_KERNEL(scale, CPU, F32) {           // args, count and result are the parameters
//     const DLTensor* x = oag_tensor(args, count, 0);
//     if (x == NULL) return oag_refuse("scale: argument 1 must be a tensor");
//     ...
//     return 0;
//   }
//
// What it returns other than 0 is an error; `oag_refuse` gives it words.
// The checks that op.h makes for C++ kernels are the author's own here. Strides may be null: a
// compact tensor.
#ifndef OPENAUTOGLM_C_H_
#define OPENAUTOGLM_C_H_

#include <openautoglm/abi.h>
#include <stddef.h>

#define OAG_C_OPERATOR(name, schema) \
  OAG_TEXT_ROW(OAG_ROW_SYMBOL(op, name), "op\t" #name "\t" schema)

// The dtypes of the first input follow the device; none means every dtype the operator takes.
#define OAG_C_KERNEL(op, ...) OAG_C_KERNEL_(op, __VA_ARGS__, )
#define OAG_C_KERNEL_(op, device, ...) \
  OAG_C_KERNEL_AS_(op, device, OAG_KERNEL_ID(op, device), __VA_ARGS__)
#define OAG_C_KERNEL_AS_(op, device, id, ...)                                                     \
  OAG_TEXT_ROW(OAG_ROW_SYMBOL(kernel, id),                                                        \
               "kernel\t" #op "\t" OAG_TEXT(OAG_KERNEL_SYMBOL(id)) "\t" #device "\t" #__VA_ARGS__ \
                                                                   "\t" OAG_ISA "\t0\tc");        \
  static int OAG_JOIN2(oag_body, id)(void* self, const TVMFFIAny* args, int32_t count,            \
                                     TVMFFIAny* result);                                          \
  OAG_EXPORT int OAG_KERNEL_SYMBOL(id)(void* self, const TVMFFIAny* args, int32_t count,          \
                                       TVMFFIAny* result);                                        \
  int OAG_KERNEL_SYMBOL(id)(void* self, const TVMFFIAny* args, int32_t count,                     \
                            TVMFFIAny* result) {                                                  \
    if (OAG_JOIN2(oag_body, id)(self, args, count, result) == 0) return 0;                        \
    return oag_failed(#op ": the kernel failed and did not say why");                             \
  }                                                                                               \
  static int OAG_JOIN2(oag_body, id)(void* self __attribute__((unused)), const TVMFFIAny* args,   \
                                     int32_t count, TVMFFIAny* result __attribute__((unused)))

// Returns what a kernel that failed must return; `problem` is the error where it set none itself.
static inline int oag_failed(const char* problem) {
  TVMFFIObjectHandle error = NULL;
  TVMFFIErrorMoveFromRaised(&error);
  if (error == NULL) return oag_set_error("KernelFailedError", problem);
  TVMFFIErrorSetRaised(error);
  TVMFFIObjectDecRef(error);
  return -1;
}

// Returns the tensor at a position, borrowed; null when there is none or it is something else.
static inline const DLTensor* oag_tensor(const TVMFFIAny* args, int32_t count, int32_t position) {
  if (position < 0 || position >= count) return NULL;
  if (args[position].type_index == kTVMFFIDLTensorPtr) return (const DLTensor*)args[position].v_ptr;
  if (args[position].type_index != kTVMFFITensor) return NULL;
  return (const DLTensor*)((const char*)args[position].v_obj + sizeof(TVMFFIObject));
}

// Returns the address of a tensor's first element.
static inline void* oag_data(const DLTensor* tensor) {
  return (char*)tensor->data + tensor->byte_offset;
}

static inline int oag_is_dtype(const DLTensor* tensor, uint8_t code, uint8_t bits) {
  return tensor->dtype.code == code && tensor->dtype.bits == bits && tensor->dtype.lanes == 1;
}

static inline int64_t oag_numel(const DLTensor* tensor) {
  int64_t count = 1;
  for (int32_t i = 0; i < tensor->ndim; ++i) count *= tensor->shape[i];
  return count;
}

// Returns the distance between neighbours along a dimension, in elements; tells compact tensors
// too.
static inline int64_t oag_stride(const DLTensor* tensor, int32_t dim) {
  if (tensor->strides != NULL) return tensor->strides[dim];
  int64_t stride = 1;
  for (int32_t i = dim + 1; i < tensor->ndim; ++i) stride *= tensor->shape[i];
  return stride;
}

static inline int oag_same_shape(const DLTensor* a, const DLTensor* b) {
  if (a->ndim != b->ndim) return 0;
  for (int32_t i = 0; i < a->ndim; ++i) {
    if (a->shape[i] != b->shape[i]) return 0;
  }
  return 1;
}

static inline int oag_is_contiguous(const DLTensor* tensor) {
  int64_t expected = 1;
  if (tensor->strides == NULL || oag_numel(tensor) == 0) return 1;
  for (int32_t i = tensor->ndim - 1; i >= 0; --i) {
    if (tensor->shape[i] != 1 && tensor->strides[i] != expected) return 0;
    expected *= tensor->shape[i];
  }
  return 1;
}

// Reads a number; returns 0 and leaves `value` alone when there is none.
static inline int oag_number(const TVMFFIAny* args, int32_t count, int32_t position,
                             double* value) {
  if (position < 0 || position >= count) return 0;
  if (args[position].type_index == kTVMFFIFloat) {
    *value = args[position].v_float64;
  } else if (args[position].type_index == kTVMFFIInt || args[position].type_index == kTVMFFIBool) {
    *value = (double)args[position].v_int64;
  } else {
    return 0;
  }
  return 1;
}

// Sets the error of this call and returns what the kernel must return. The text is copied.
static inline int oag_refuse(const char* problem) {
  return oag_set_error("OperatorArgumentError", problem);
}

#endif  // OPENAUTOGLM_C_H_

// What a kernel library is: symbols with one C signature, and rows of text that describe them.
//
// Readable by C and C++. The signature of every kernel is tvm-ffi's:
//   int kernel(void* self, const TVMFFIAny* args, int32_t count, TVMFFIAny* result)
// All arguments are borrowed for the length of the call: first the inputs, then the attributes,
// then the outputs, which the caller allocated. A kernel returns 0, or sets an error and returns
// -1. No exception leaves it.
//
// A row is a text constant under an exported name that starts with `__oag_manifest_`; fields are
// parted by tabs:
//   abi     1
//   op      <name> <schema>
//   kernel  <op> <symbol> <device> <dtypes> <isa> <priority> <flags>
// Rows are read from the file before anything is loaded. Nothing here runs when a library is
// loaded: no constructor, no registry. That is what makes a library safe to inspect, to replace and
// to unload.
#ifndef OPENAUTOGLM_ABI_H_
#define OPENAUTOGLM_ABI_H_

#include <dlpack/dlpack.h>
#include <stdint.h>
#include <tvm/ffi/c_api.h>

#define OAG_ABI_VERSION 1

// One word for the source file, so that two files of a library may register the same operator; set
// by the build.
#ifndef OAG_UNIT
#define OAG_UNIT unit
#endif

// The instruction set the file is compiled for, as `x86-64-v3`; empty for the plain one. Set by the
// build.
#ifndef OAG_ISA
#define OAG_ISA ""
#endif

#define OAG_TEXT_(...) #__VA_ARGS__
#define OAG_TEXT(...) OAG_TEXT_(__VA_ARGS__)
#define OAG_JOIN2_(a, b) a##_##b
#define OAG_JOIN2(a, b) OAG_JOIN2_(a, b)
#define OAG_JOIN3(a, b, c) OAG_JOIN2(OAG_JOIN2(a, b), c)

// Unique in a library: operator, device, source file, line.
#define OAG_KERNEL_ID(op, device) OAG_JOIN3(OAG_JOIN2(op, device), OAG_UNIT, __LINE__)
#define OAG_KERNEL_SYMBOL(id) OAG_JOIN2(__tvm_ffi_oag, id)
#define OAG_ROW_SYMBOL(kind, id) OAG_JOIN3(__oag_manifest, kind, id)

#define OAG_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
#define OAG_C_BEGIN_ extern "C" {
#define OAG_C_END_ }
#else
#define OAG_C_BEGIN_
#define OAG_C_END_
#endif

#define OAG_TEXT_ROW(symbol, text)       \
  OAG_C_BEGIN_                           \
  extern OAG_EXPORT const char symbol[]; \
  const char symbol[] = text;            \
  OAG_C_END_                             \
  struct OAG_JOIN2(symbol, semicolon)

// Sets the error of this call and returns what the kernel must return. The texts are copied.
// Without a backtrace: tvm-ffi's would keep a view of the library mapped for ever.
static inline int oag_set_error(const char* kind, const char* text) {
  const TVMFFIByteArray the_kind = {kind, __builtin_strlen(kind)};
  const TVMFFIByteArray the_text = {text, __builtin_strlen(text)};
  const TVMFFIByteArray nothing = {"", 0};
  TVMFFIObjectHandle error;
  if (TVMFFIErrorCreate(&the_kind, &the_text, &nothing, &error) != 0) return -1;
  TVMFFIErrorSetRaised(error);
  TVMFFIObjectDecRef(error);
  return -1;
}

// Every source file says which ABI it was compiled for.
OAG_C_BEGIN_
extern OAG_EXPORT __attribute__((weak)) const char OAG_ROW_SYMBOL(abi, OAG_UNIT)[];
const char OAG_ROW_SYMBOL(abi, OAG_UNIT)[] = "abi\t" OAG_TEXT(OAG_ABI_VERSION);
OAG_C_END_

#endif  // OPENAUTOGLM_ABI_H_

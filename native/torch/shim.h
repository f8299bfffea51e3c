// The part of torch's stable C shim that the slots use, found in the libtorch that is loaded already.
//
// Declared here so that building needs no torch and one library serves every torch from 2.10 on. The names and
// signatures are torch's; torch keeps them across versions. Handles are opaque; "new reference" ones are given back
// with delete_tensor.
#ifndef OPENAUTOGLM_TORCH_SHIM_H_
#define OPENAUTOGLM_TORCH_SHIM_H_

#include <cstdint>
#include <string>

namespace openautoglm {

using TensorHandle = struct AtenTensorOpaque*;
using LibraryHandle = struct TorchLibraryOpaque*;
using StackValue = uint64_t;  // torch's StableIValue
using Status = int32_t;       // 0 is success
using Thunk = void (*)(StackValue* stack, uint64_t inputs, uint64_t outputs);

constexpr uint64_t kTorchAbi = (uint64_t{2} << 56) | (uint64_t{10} << 48);  // the oldest torch served

struct Shim {
  Status (*get_data)(TensorHandle, void**);
  Status (*get_dim)(TensorHandle, int64_t*);
  Status (*get_sizes)(TensorHandle, int64_t**);
  Status (*get_strides)(TensorHandle, int64_t**);
  Status (*get_dtype)(TensorHandle, int32_t*);
  Status (*get_device_type)(TensorHandle, int32_t*);
  Status (*get_device_index)(TensorHandle, int32_t*);
  Status (*empty_strided)(int64_t ndim, const int64_t* sizes, const int64_t* strides, int32_t dtype,
                          int32_t device_type, int32_t device_index, TensorHandle* out);
  Status (*delete_tensor)(TensorHandle);
  Status (*library_fragment)(const char* ns, const char* file, uint32_t line, LibraryHandle* out);
  Status (*library_init_impl)(const char* ns, const char* key, const char* file, uint32_t line, LibraryHandle* out);
  Status (*library_def)(LibraryHandle, const char* schema);
  Status (*library_impl)(LibraryHandle, const char* name, Thunk, uint64_t abi);
  Status (*call_dispatcher)(const char* name, const char* overload, StackValue* stack, uint64_t abi);
  int32_t (*device_cpu)();
  Status (*string_data)(void* string, const char** data);
  Status (*delete_string)(void* string);
  const char* (*what)();  // of this thread's last failure; null before torch 2.12
  Status (*current_stream)(int32_t device_index, void** stream);  // null in a build without CUDA
};

// Finds every function in the libtorch at `path`, which must be loaded; throws RuntimeError naming a missing one.
const Shim& OpenShim(const std::string& path);

// Returns torch's number of a dtype, such as "bfloat16", or -1 where this torch has none.
int32_t TorchDtypeNumber(const std::string& name);

}  // namespace openautoglm

#endif  // OPENAUTOGLM_TORCH_SHIM_H_

#include "shim.h"

#include <dlfcn.h>
#include <tvm/ffi/tvm_ffi.h>

namespace openautoglm {

namespace {

void* opened = nullptr;

template <typename F>
void Find(void* library, const char* name, F* function) {
  *function = reinterpret_cast<F>(dlsym(library, name));
  if (*function == nullptr) {
    TVM_FFI_THROW(RuntimeError) << "this torch has no " << name << "; 2.10 or newer is needed";
  }
}

Shim FindAll(void* library) {
  Shim shim{};
  Find(library, "torch_get_mutable_data_ptr", &shim.get_data);
  Find(library, "aoti_torch_get_dim", &shim.get_dim);
  Find(library, "aoti_torch_get_sizes", &shim.get_sizes);
  Find(library, "aoti_torch_get_strides", &shim.get_strides);
  Find(library, "aoti_torch_get_dtype", &shim.get_dtype);
  Find(library, "aoti_torch_get_device_type", &shim.get_device_type);
  Find(library, "aoti_torch_get_device_index", &shim.get_device_index);
  Find(library, "aoti_torch_empty_strided", &shim.empty_strided);
  Find(library, "aoti_torch_delete_tensor_object", &shim.delete_tensor);
  Find(library, "aoti_torch_library_init_fragment", &shim.library_fragment);
  Find(library, "aoti_torch_library_init_impl", &shim.library_init_impl);
  Find(library, "aoti_torch_library_def", &shim.library_def);
  Find(library, "torch_library_impl", &shim.library_impl);
  Find(library, "torch_call_dispatcher", &shim.call_dispatcher);
  Find(library, "aoti_torch_device_type_cpu", &shim.device_cpu);
  Find(library, "torch_string_c_str", &shim.string_data);
  Find(library, "torch_delete_string", &shim.delete_string);
  shim.what = reinterpret_cast<const char* (*)()>(dlsym(library, "torch_exception_get_what_without_backtrace"));
  return shim;
}

}  // namespace

const Shim& OpenShim(const std::string& path) {
  static const Shim shim = [&path] {
    // NOLOAD: the torch that Python imported, never a second one
    void* library = dlopen(path.c_str(), RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) TVM_FFI_THROW(RuntimeError) << "torch is not loaded from " << path;
    Shim found = FindAll(library);
    opened = library;
    // in libtorch_cuda, which libtorch_cpu does not name: looked up among everything that is loaded
    found.current_stream =
        reinterpret_cast<Status (*)(int32_t, void**)>(dlsym(RTLD_DEFAULT, "aoti_torch_get_current_cuda_stream"));
    std::string cuda = path;
    const size_t at = cuda.rfind("libtorch_cpu");
    if (found.current_stream == nullptr && at != std::string::npos) {
      cuda.replace(at, 12, "libtorch_cuda");
      if (void* more = dlopen(cuda.c_str(), RTLD_LAZY | RTLD_NOLOAD)) {
        found.current_stream =
            reinterpret_cast<Status (*)(int32_t, void**)>(dlsym(more, "aoti_torch_get_current_cuda_stream"));
      }
    }
    return found;
  }();
  return shim;
}

int32_t TorchDtypeNumber(const std::string& name) {
  auto* number = reinterpret_cast<int32_t (*)()>(dlsym(opened, ("aoti_torch_dtype_" + name).c_str()));
  return number == nullptr ? -1 : number();
}

}  // namespace openautoglm

// The devices kernels are written for, as types: `Kernel<CPU>`, `Kernel<CUDA>`.
#ifndef OPENAUTOGLM_DEVICE_H_
#define OPENAUTOGLM_DEVICE_H_

#include <dlpack/dlpack.h>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <tvm/ffi/extra/c_env_api.h>

#include <openautoglm/dtype.h>
#include <openautoglm/refusal.h>
#endif

namespace openautoglm {

struct CPU {
  static constexpr DLDeviceType kType = kDLCPU;
  static constexpr const char* kName = "CPU";
};

struct CUDA {
  static constexpr DLDeviceType kType = kDLCUDA;
  static constexpr const char* kName = "CUDA";
};

// Makes a device current for the length of a call and finds errors the call left behind.
template <typename Device>
class DeviceScope {
 public:
  explicit DeviceScope(int /*device_id*/) {}
  void Finish() {}
};

#ifdef __CUDACC__

template <>
struct DtypeOf<__half> {
  static constexpr DLDataType kValue = dtypes::F16;
};
template <>
struct DtypeOf<__nv_bfloat16> {
  static constexpr DLDataType kValue = dtypes::BF16;
};

inline void CheckCuda(cudaError_t status) {
  if (status != cudaSuccess) Fail(std::string("CUDA: ") + cudaGetErrorString(status));
}

// The stream the caller works on: torch's current one when the tensors are torch's. Launch there
// and nowhere else.
inline cudaStream_t CurrentStream(DLDevice device) {
  return static_cast<cudaStream_t>(TVMFFIEnvGetStream(device.device_type, device.device_id));
}

template <>
class DeviceScope<CUDA> {
 public:
  explicit DeviceScope(int device_id) {
    CheckCuda(cudaGetDevice(&before_));
    if (before_ != device_id) CheckCuda(cudaSetDevice(device_id));
    changed_ = before_ != device_id;
  }
  ~DeviceScope() {
    if (changed_) (void)cudaSetDevice(before_);
  }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

  // A launch that failed is an error of this call, not of the next one.
  void Finish() { CheckCuda(cudaGetLastError()); }

 private:
  int before_ = 0;
  bool changed_ = false;
};

#endif  // __CUDACC__

}  // namespace openautoglm

#endif  // OPENAUTOGLM_DEVICE_H_

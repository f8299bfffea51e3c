// Torch's tensors as kernels see them, and one run of a cell's kernel on them: what the slots and the way in from
// Python have in common.
#ifndef OPENAUTOGLM_TORCH_TENSORS_H_
#define OPENAUTOGLM_TORCH_TENSORS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "../core/cell.h"
#include "../core/extent.h"
#include "shim.h"

namespace openautoglm {

// Readies what is below for the libtorch at `path`. `codes[i]` is DLPack's dtype of torch's `names[i]`.
void OpenTorch(const std::string& path, const std::vector<std::string>& names, const std::vector<DLDataType>& codes);

// Null before OpenTorch.
const Shim* TorchShim();

// Throws what torch says of its failure, a std::runtime_error.
void CheckTorch(Status status);

// What one call needs room for; tensors are borrowed from the caller.
struct TensorFrame {
  DLTensor views[kMaxInputs + kMaxOutputs];
  Extent extents[kMaxOutputs];
  TVMFFIAny args[kMaxArguments];
  int32_t torch_dtypes[kMaxInputs];
  int32_t device_type = -1;
  int32_t device_index = 0;
};

// Sets input `i`, null for one that is absent; false where the slow way is needed.
bool SetInput(TensorHandle tensor, int i, TensorFrame* frame, Call* call);

// Describes a tensor; false for a dtype that kernels do not have.
bool ViewTensor(TensorHandle tensor, DLTensor* view);
void SetTensor(DLTensor* view, TVMFFIAny* arg);

enum class Ran { kDone, kRefused, kFailed };

// Allocates the outputs and runs the kernel the table has for this call. On kDone `made` has the outputs, which the
// caller owns; on kFailed the kernel's error waits in tvm-ffi; on kRefused only the slow way will do.
Ran RunOnTensors(Cell* cell, TensorFrame* frame, Call* call, TensorHandle* made);

// Points the environment of kernels to the stream torch is on, where the device has streams.
void UseStream(int32_t device_type, int32_t device_index);

}  // namespace openautoglm

#endif  // OPENAUTOGLM_TORCH_TENSORS_H_

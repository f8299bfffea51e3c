// Torch's tensors as Python holds them, and whether a call on them may leave out torch's dispatcher.
//
// It may where nobody could tell: nothing in this thread watches or changes calls, the tensors are plain. Everything
// is asked of the torch that is loaded and checked against its own answers first; where one is missing or differs,
// no call goes directly.
#ifndef OPENAUTOGLM_PYTHON_TENSOR_H_
#define OPENAUTOGLM_PYTHON_TENSOR_H_

#include "../torch/tensors.h"
#include "python.h"

namespace openautoglm {

// Whether it is torch.Tensor or Parameter itself, and that can be read in place.
bool IsTensor(PyObject* value);

// Whether a tensor is dense memory on the CPU or a GPU and nothing else: no view that negates, none that stands for
// another, no transform's own.
bool IsPlain(PyObject* tensor);

// Borrowed from the object.
TensorHandle HandleOf(PyObject* tensor);
bool RequiresGrad(PyObject* tensor);

// Whether this thread's calls are ordinary: no mode, transform, tracer, autocast or profiler is on.
bool IsOrdinaryThread();
bool IsGradEnabled();

// Wraps a tensor as Python's, whose own reference stays the caller's; null with an exception set.
PyObject* Wrap(TensorHandle tensor);

// Raises what a kernel's failure stands for; returns Way::kRaised.
Way RaiseFailure(const std::string& text);

// While it lives, kernels find torch's allocator and the stream torch is on; what was there comes back.
class Environment {
 public:
  Environment(int32_t device_type, int32_t device_index);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();

 private:
  int32_t index_ = -1;  // of the GPU whose stream was set
  void* stream_ = nullptr;
  void* before_ = nullptr;
  DLPackManagedTensorAllocator allocator_ = nullptr;
};

}  // namespace openautoglm

#endif  // OPENAUTOGLM_PYTHON_TENSOR_H_

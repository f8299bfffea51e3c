#include "tensors.h"

#include <tvm/ffi/extra/c_env_api.h>

#include <stdexcept>

namespace openautoglm {

namespace {

constexpr int kDtypes = 64;

const Shim* shim = nullptr;
DLDataType dtypes[kDtypes];  // torch's number -> DLPack
int32_t cpu_device = 0;

// What a run owns, given back when it ends, however it ends.
struct Owned {
  TensorHandle tensors[kMaxOutputs];
  int count = 0;
  Snapshot* snapshot = nullptr;

  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    for (int i = 0; i < count; ++i) shim->delete_tensor(tensors[i]);
    if (snapshot != nullptr) Cell::Release(snapshot);
  }
};

void View(TensorHandle tensor, DLTensor* view, int32_t* dtype, int32_t* device_type) {
  int64_t rank = 0;
  int64_t* sizes = nullptr;
  int64_t* strides = nullptr;
  int32_t index = 0;
  CheckTorch(shim->get_data(tensor, &view->data));
  CheckTorch(shim->get_dim(tensor, &rank));
  CheckTorch(shim->get_sizes(tensor, &sizes));
  CheckTorch(shim->get_strides(tensor, &strides));
  CheckTorch(shim->get_dtype(tensor, dtype));
  CheckTorch(shim->get_device_type(tensor, device_type));
  if (*device_type != cpu_device) CheckTorch(shim->get_device_index(tensor, &index));
  view->ndim = static_cast<int>(rank);
  view->shape = sizes;
  view->strides = strides;
  view->dtype = *dtype >= 0 && *dtype < kDtypes ? dtypes[*dtype] : DLDataType{};
  view->device = {*device_type == cpu_device ? kDLCPU : kDLCUDA, index};
  view->byte_offset = 0;
}

int32_t TorchDtype(DLDataType dtype) {
  for (int i = 0; i < kDtypes; ++i) {
    if (dtypes[i].bits == dtype.bits && dtypes[i].code == dtype.code && dtype.bits != 0) return i;
  }
  return -1;
}

// Allocates an output, contiguous; false where the slow way is needed.
bool Allocate(const OutputRule& rule, const Call& call, TensorFrame* frame, int index, TensorHandle* out) {
  Extent* extent = &frame->extents[index];
  if (!ExtentOf(rule, call, extent)) return false;
  SetStrides(extent);
  const int32_t dtype = rule.dtype_input < 0 ? TorchDtype(rule.dtype) : frame->torch_dtypes[rule.dtype_input];
  if (dtype < 0) return false;
  CheckTorch(shim->empty_strided(extent->rank, extent->sizes, extent->strides, dtype, frame->device_type,
                                 frame->device_index, out));
  DLTensor* view = &frame->views[kMaxInputs + index];  // all but the memory is known
  CheckTorch(shim->get_data(*out, &view->data));
  view->ndim = extent->rank;
  view->shape = extent->sizes;
  view->strides = extent->strides;
  view->dtype = dtypes[dtype];
  view->device = {frame->device_type == cpu_device ? kDLCPU : kDLCUDA, frame->device_index};
  view->byte_offset = 0;
  return true;
}

}  // namespace

void OpenTorch(const std::string& path, const std::vector<std::string>& names, const std::vector<DLDataType>& codes) {
  const Shim& found = OpenShim(path);
  for (size_t i = 0; i < names.size(); ++i) {
    const int32_t number = TorchDtypeNumber(names[i]);
    if (number >= 0 && number < kDtypes) dtypes[number] = codes[i];
  }
  cpu_device = found.device_cpu();
  shim = &found;
}

const Shim* TorchShim() { return shim; }

void CheckTorch(Status status) {
  if (status == 0) return;
  throw std::runtime_error(shim != nullptr && shim->what != nullptr ? shim->what() : "a call into torch failed");
}

bool SetInput(TensorHandle tensor, int i, TensorFrame* frame, Call* call) {
  if (tensor == nullptr) {
    frame->args[i].type_index = kTVMFFINone;
    frame->args[i].zero_padding = 0;
    frame->args[i].v_int64 = 0;
    return true;
  }
  int32_t device = 0;
  View(tensor, &frame->views[i], &frame->torch_dtypes[i], &device);
  if (frame->views[i].dtype.bits == 0) return false;
  if (frame->device_type < 0) {
    frame->device_type = device;
    frame->device_index = frame->views[i].device.device_id;
  }
  call->tensors[i] = &frame->views[i];
  SetTensor(&frame->views[i], &frame->args[i]);
  return true;
}

void SetTensor(DLTensor* view, TVMFFIAny* arg) {
  arg->type_index = kTVMFFIDLTensorPtr;
  arg->zero_padding = 0;
  arg->v_ptr = view;
}

bool ViewTensor(TensorHandle tensor, DLTensor* view) {
  int32_t dtype = 0;
  int32_t device = 0;
  View(tensor, view, &dtype, &device);
  return view->dtype.bits != 0;
}

Ran RunOnTensors(Cell* cell, TensorFrame* frame, Call* call, TensorHandle* made) {
  const Signature& signature = cell->signature();
  if (signature.always_slow || cell->is_slow() || !cell->Prepare(call)) return Ran::kRefused;
  Owned owned;
  owned.snapshot = cell->Acquire();
  const Entry* entry = owned.snapshot->Find(call->key);
  if (entry == nullptr || (entry->flags & kCallsPython) || ((entry->flags & kWantsContiguous) && !call->contiguous)) {
    return Ran::kRefused;
  }
  int count = static_cast<int>(signature.kinds.size());
  for (int i = 0; i < signature.output_count; ++i) {
    if (!Allocate(signature.outputs[i], *call, frame, i, &made[i])) return Ran::kRefused;
    owned.tensors[owned.count++] = made[i];
    SetTensor(&frame->views[kMaxInputs + i], &frame->args[count++]);
  }
  UseStream(frame->device_type, frame->device_index);
  cell->Count(entry->counter);
  tvm::ffi::Any result;  // owned: a kernel may return an object
  if (entry->call(entry->self, frame->args, count, reinterpret_cast<TVMFFIAny*>(&result)) != 0) return Ran::kFailed;
  owned.count = 0;  // the outputs are the caller's now
  return Ran::kDone;
}

void UseStream(int32_t device_type, int32_t device_index) {
  if (device_type == cpu_device || shim->current_stream == nullptr) return;
  void* stream = nullptr;
  CheckTorch(shim->current_stream(device_index, &stream));
  TVMFFIEnvSetStream(kDLCUDA, device_index, stream, nullptr);
}

}  // namespace openautoglm

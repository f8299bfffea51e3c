// Slots: torch operators whose body is whatever the cell's table says at the moment of the call.
//
// A slot is a plain function made at compile time, so nothing has to be generated at run time; binding it to a cell
// registers it for CPU and CUDA. The usual call goes from torch's dispatcher to the kernel without Python. Any other
// goes to a sibling operator that is written in Python and knows every rule.

#include <tvm/ffi/extra/c_env_api.h>

#include <array>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "../core/cell.h"
#include "shim.h"

namespace openautoglm {

namespace ffi = tvm::ffi;

namespace {

constexpr int kSlots = 512;
constexpr int kDtypes = 64;
constexpr int kTorchArguments = 64;  // torch takes no schema with more

struct Slot {
  Cell* cell = nullptr;
  std::string slow;  // name of the sibling operator
};

Slot slots[kSlots];
const Shim* shim = nullptr;
DLDataType dtypes[kDtypes];  // torch's number -> DLPack
int32_t cpu_device = 0;
std::mutex binding;

// Python keeps the exception of a failed slow call and tells its text.
ffi::Function* take_text = nullptr;

void Check(Status status) {
  if (status == 0) return;
  throw std::runtime_error(shim != nullptr && shim->what != nullptr ? shim->what() : "a call into torch failed");
}

// What one call owns, given back when it ends, however it ends.
struct Owned {
  TensorHandle tensors[kMaxInputs + kMaxOutputs];
  int tensor_count = 0;
  void* strings[kMaxArguments];
  int string_count = 0;
  Snapshot* snapshot = nullptr;

  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    for (int i = 0; i < tensor_count; ++i) shim->delete_tensor(tensors[i]);
    for (int i = 0; i < string_count; ++i) shim->delete_string(strings[i]);
    if (snapshot != nullptr) Cell::Release(snapshot);
  }
};

struct Extent {
  int64_t sizes[kMaxRank];
  int64_t strides[kMaxRank];
  int rank = 0;
};

struct Frame {
  DLTensor views[kMaxInputs + kMaxOutputs];
  Extent extents[kMaxOutputs];
  TVMFFIAny args[kMaxArguments];
  int32_t torch_dtypes[kMaxInputs];
  int32_t device_type = -1;
  int32_t device_index = 0;
};

void View(TensorHandle tensor, DLTensor* view, int32_t* dtype, int32_t* device_type) {
  int64_t rank = 0;
  int64_t* sizes = nullptr;
  int64_t* strides = nullptr;
  int32_t index = 0;
  Check(shim->get_data(tensor, &view->data));
  Check(shim->get_dim(tensor, &rank));
  Check(shim->get_sizes(tensor, &sizes));
  Check(shim->get_strides(tensor, &strides));
  Check(shim->get_dtype(tensor, dtype));
  Check(shim->get_device_type(tensor, device_type));
  if (*device_type != cpu_device) Check(shim->get_device_index(tensor, &index));
  view->ndim = static_cast<int>(rank);
  view->shape = sizes;
  view->strides = strides;
  view->dtype = *dtype >= 0 && *dtype < kDtypes ? dtypes[*dtype] : DLDataType{};
  view->device = {*device_type == cpu_device ? kDLCPU : kDLCUDA, index};
  view->byte_offset = 0;
}

void SetTensor(DLTensor* view, TVMFFIAny* arg) {
  arg->type_index = kTVMFFIDLTensorPtr;
  arg->v_ptr = view;
}

template <typename T>
T Bits(StackValue value) {
  T out;
  std::memcpy(&out, &value, sizeof out);
  return out;
}

// Reads an optional tensor: the value points to a heap cell that is ours to free.
TensorHandle ReadOptional(StackValue* value) {
  auto* held = Bits<StackValue*>(*value);
  if (held == nullptr) return nullptr;
  auto tensor = Bits<TensorHandle>(*held);
  return tensor;
}

bool ReadTensor(const Signature& signature, int i, StackValue* stack, Frame* frame, Call* call) {
  TensorHandle tensor = signature.kinds[i] == '?' ? ReadOptional(&stack[i]) : Bits<TensorHandle>(stack[i]);
  if (tensor == nullptr) {
    frame->args[i].type_index = kTVMFFINone;
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

bool ReadAttribute(char kind, StackValue value, TVMFFIAny* arg) {
  switch (kind) {
    case 'f':
      arg->type_index = kTVMFFIFloat;
      arg->v_float64 = Bits<double>(value);
      return true;
    case 'i':
      arg->type_index = kTVMFFIInt;
      arg->v_int64 = Bits<int64_t>(value);
      return true;
    case 'b':
      arg->type_index = kTVMFFIBool;
      arg->v_int64 = Bits<bool>(value) ? 1 : 0;
      return true;
    case 's': {
      const char* text = nullptr;
      Check(shim->string_data(Bits<void*>(value), &text));
      arg->type_index = kTVMFFIRawStr;
      arg->v_c_str = text;
      return true;
    }
    default:
      return false;
  }
}

// Reads the stack without taking anything from it; false where the slow way is needed.
bool ReadStack(const Signature& signature, StackValue* stack, Frame* frame, Call* call) {
  const int count = static_cast<int>(signature.kinds.size());
  for (int i = 0; i < count; ++i) {
    frame->args[i].zero_padding = 0;
    const bool read = i < signature.inputs ? ReadTensor(signature, i, stack, frame, call)
                                           : ReadAttribute(signature.kinds[i], stack[i], &frame->args[i]);
    if (!read) return false;
  }
  return true;
}

// Takes over what the stack owns: from here on the call frees it.
void TakeStack(const Signature& signature, StackValue* stack, Owned* owned) {
  for (size_t i = 0; i < signature.kinds.size(); ++i) {
    if (signature.kinds[i] == 's') {
      owned->strings[owned->string_count++] = Bits<void*>(stack[i]);
    } else if (static_cast<int>(i) < signature.inputs) {
      if (signature.kinds[i] == '?') {
        auto* held = Bits<StackValue*>(stack[i]);
        if (held == nullptr) continue;
        owned->tensors[owned->tensor_count++] = Bits<TensorHandle>(*held);
        delete held;
      } else {
        owned->tensors[owned->tensor_count++] = Bits<TensorHandle>(stack[i]);
      }
    }
  }
}

bool Broadcast(const OutputRule& rule, const Call& call, Extent* extent) {
  for (int input : rule.inputs) {
    const DLTensor* t = call.tensors[input];
    if (t != nullptr && t->ndim > extent->rank) extent->rank = t->ndim;
  }
  if (extent->rank > kMaxRank) return false;
  for (int i = 0; i < extent->rank; ++i) extent->sizes[i] = 1;
  for (int input : rule.inputs) {
    const DLTensor* t = call.tensors[input];
    if (t == nullptr) continue;
    const int shift = extent->rank - t->ndim;
    for (int i = 0; i < t->ndim; ++i) {
      int64_t* size = &extent->sizes[shift + i];
      if (t->shape[i] == *size || t->shape[i] == 1) continue;
      if (*size != 1) return false;
      *size = t->shape[i];
    }
  }
  return true;
}

bool Named(const Pattern& pattern, const Bindings& bound, Extent* extent) {
  const int leading = pattern.leading ? bound.leading_rank : 0;
  if (leading < 0 || leading + static_cast<int>(pattern.dims.size()) > kMaxRank) return false;
  for (int i = 0; i < leading; ++i) extent->sizes[extent->rank++] = bound.leading[i];
  for (const Dim& dim : pattern.dims) {
    const int64_t size = dim.symbol < 0 ? dim.size : bound.value[dim.symbol];
    if (size < 0) return false;
    extent->sizes[extent->rank++] = size;
  }
  return true;
}

bool ExtentOf(const OutputRule& rule, const Call& call, Extent* extent) {
  if (rule.rule == Rule::kBroadcast) return Broadcast(rule, call, extent);
  if (rule.rule == Rule::kShape) return Named(rule.pattern, call.bound, extent);
  const DLTensor* like = call.tensors[rule.like];
  if (like == nullptr || like->ndim > kMaxRank) return false;
  extent->rank = like->ndim;
  std::memcpy(extent->sizes, like->shape, sizeof(int64_t) * like->ndim);
  return true;
}

int32_t TorchDtype(DLDataType dtype) {
  for (int i = 0; i < kDtypes; ++i) {
    if (dtypes[i].bits == dtype.bits && dtypes[i].code == dtype.code && dtype.bits != 0) return i;
  }
  return -1;
}

// Allocates an output, contiguous; false where the slow way is needed.
bool Allocate(const OutputRule& rule, const Call& call, Frame* frame, int index, TensorHandle* out) {
  Extent* extent = &frame->extents[index];
  if (!ExtentOf(rule, call, extent)) return false;
  int64_t step = 1;
  for (int i = extent->rank - 1; i >= 0; --i) {
    extent->strides[i] = step;
    step *= extent->sizes[i] > 0 ? extent->sizes[i] : 1;
  }
  const int32_t dtype = rule.dtype_input < 0 ? TorchDtype(rule.dtype) : frame->torch_dtypes[rule.dtype_input];
  if (dtype < 0) return false;
  Check(shim->empty_strided(extent->rank, extent->sizes, extent->strides, dtype, frame->device_type,
                            frame->device_index, out));
  DLTensor* view = &frame->views[kMaxInputs + index];  // all but the memory is known
  Check(shim->get_data(*out, &view->data));
  view->ndim = extent->rank;
  view->shape = extent->sizes;
  view->strides = extent->strides;
  view->dtype = dtypes[dtype];
  view->device = {frame->device_type == cpu_device ? kDLCPU : kDLCUDA, frame->device_index};
  view->byte_offset = 0;
  return true;
}

// Hands the call as it is to the sibling written in Python, which never raises: it keeps its exception.
void GoSlow(const Slot& slot, StackValue* stack, uint64_t inputs, uint64_t outputs) {
  StackValue more[kTorchArguments];
  std::memcpy(more, stack, sizeof(StackValue) * inputs);
  Check(shim->call_dispatcher(slot.slow.c_str(), "", more, kTorchAbi));
  std::memcpy(stack, more, sizeof(StackValue) * outputs);
  const std::string problem = (*take_text)().cast<std::string>();
  if (problem.empty()) return;
  for (uint64_t i = 0; i < outputs; ++i) shim->delete_tensor(Bits<TensorHandle>(stack[i]));
  throw std::runtime_error(problem);
}

void UseStream(const Frame& frame) {
  if (frame.device_type == cpu_device || shim->current_stream == nullptr) return;
  void* stream = nullptr;
  Check(shim->current_stream(frame.device_index, &stream));
  TVMFFIEnvSetStream(kDLCUDA, frame.device_index, stream, nullptr);
}

// Runs the native kernel; false, with the stack untouched, where the slow way is needed.
bool GoFast(Cell* cell, StackValue* stack) {
  const Signature& signature = cell->signature();
  if (signature.always_slow || cell->is_slow()) return false;
  Frame frame;
  Call call;
  if (!ReadStack(signature, stack, &frame, &call) || !cell->Prepare(&call)) return false;
  Owned owned;
  owned.snapshot = cell->Acquire();
  const Entry* entry = owned.snapshot->Find(call.key);
  if (entry == nullptr || ((entry->flags & kWantsContiguous) && !call.contiguous)) return false;
  const int outputs = signature.output_count;
  TensorHandle made[kMaxOutputs];
  int count = static_cast<int>(signature.kinds.size());
  for (int i = 0; i < outputs; ++i) {
    if (!Allocate(signature.outputs[i], call, &frame, i, &made[i])) return false;
    owned.tensors[owned.tensor_count++] = made[i];
    frame.args[count].zero_padding = 0;
    SetTensor(&frame.views[kMaxInputs + i], &frame.args[count++]);
  }
  UseStream(frame);
  cell->Count(entry->counter);
  ffi::Any result;  // owned: a kernel may return an object
  if (entry->call(entry->self, frame.args, count, reinterpret_cast<TVMFFIAny*>(&result)) != 0) {
    throw std::runtime_error("[OAG204] a kernel of `" + signature.name + "` failed\n  got: " + TakeError());
  }
  owned.tensor_count = 0;  // the outputs belong to the stack now
  TakeStack(signature, stack, &owned);
  std::memcpy(stack, made, sizeof(TensorHandle) * outputs);
  return true;
}

void Run(const Slot& slot, StackValue* stack, uint64_t inputs, uint64_t outputs) {
  bool is_done = false;
  try {
    is_done = GoFast(slot.cell, stack);
  } catch (...) {  // a call that fails owns its arguments all the same
    Owned owned;
    TakeStack(slot.cell->signature(), stack, &owned);
    throw;
  }
  if (!is_done) GoSlow(slot, stack, inputs, outputs);
}

template <int kIndex>
void SlotThunk(StackValue* stack, uint64_t inputs, uint64_t outputs) {
  Run(slots[kIndex], stack, inputs, outputs);
}

template <size_t... kIndex>
constexpr std::array<Thunk, sizeof...(kIndex)> MakeThunks(std::index_sequence<kIndex...>) {
  return {SlotThunk<kIndex>...};
}

constexpr std::array<Thunk, kSlots> kThunks = MakeThunks(std::make_index_sequence<kSlots>{});
int next_slot = 0;

// Readies the slots for the libtorch at `path`. `codes[i]` is DLPack's (code, bits) of torch's dtype `names[i]`.
void TorchInit(ffi::String path, ffi::Array<ffi::String> names, ffi::Array<ffi::Array<int64_t>> codes,
               ffi::Function text) {
  std::lock_guard<std::mutex> guard(binding);
  if (shim != nullptr) return;
  const Shim& found = OpenShim(std::string(path));
  for (size_t i = 0; i < names.size(); ++i) {
    const int32_t number = TorchDtypeNumber(std::string(names[i]));
    if (number < 0 || number >= kDtypes) continue;
    dtypes[number] = {static_cast<uint8_t>(codes[i][0]), static_cast<uint8_t>(codes[i][1]), 1};
  }
  cpu_device = found.device_cpu();
  take_text = new ffi::Function(std::move(text));  // lives as long as the process
  shim = &found;
}

// Makes `name` an operator of torch that runs `cell`; returns the number of slots left, or -1 when none is.
int64_t TorchBind(int64_t cell, ffi::String ns, ffi::String name, ffi::String schema, ffi::String slow) {
  std::lock_guard<std::mutex> guard(binding);
  if (shim == nullptr) TVM_FFI_THROW(RuntimeError) << "torch_init comes first";
  if (next_slot == kSlots) return -1;
  Slot* slot = &slots[next_slot];
  slot->cell = CellOf(cell);
  slot->slow = std::string(slow);
  LibraryHandle library = nullptr;
  Check(shim->library_fragment(ns.c_str(), __FILE__, __LINE__, &library));
  Check(shim->library_def(library, schema.c_str()));
  for (const char* key : {"CPU", "CUDA"}) {
    LibraryHandle implementation = nullptr;
    Check(shim->library_init_impl(ns.c_str(), key, __FILE__, __LINE__, &implementation));
    Check(shim->library_impl(implementation, name.c_str(), kThunks[next_slot], kTorchAbi));
  }
  return kSlots - ++next_slot;
}

}  // namespace

TVM_FFI_DLL_EXPORT_TYPED_FUNC(torch_init, TorchInit);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(torch_bind, TorchBind);

}  // namespace openautoglm

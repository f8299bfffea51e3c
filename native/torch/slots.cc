// Slots: torch operators whose body is whatever the cell's table says at the moment of the call.
//
// A slot is a plain function made at compile time, so nothing has to be generated at run time; binding it to a cell
// registers it for CPU and CUDA. The usual call goes from torch's dispatcher to the kernel without Python. Any other
// goes to a sibling operator that is written in Python and knows every rule.

#include <array>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "tensors.h"

namespace openautoglm {

namespace ffi = tvm::ffi;

namespace {

constexpr int kSlots = 512;
constexpr int kTorchArguments = 64;  // torch takes no schema with more

struct Slot {
  Cell* cell = nullptr;
  std::string slow;  // name of the sibling operator
};

Slot slots[kSlots];
const Shim* shim = nullptr;
std::mutex binding;

// Python keeps the exception of a failed slow call and tells its text.
ffi::Function* take_text = nullptr;

// What one call owns, given back when it ends, however it ends.
struct Owned {
  TensorHandle tensors[kMaxInputs];
  int tensor_count = 0;
  void* strings[kMaxArguments];
  int string_count = 0;

  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    for (int i = 0; i < tensor_count; ++i) shim->delete_tensor(tensors[i]);
    for (int i = 0; i < string_count; ++i) shim->delete_string(strings[i]);
  }
};

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

bool ReadTensor(const Signature& signature, int i, StackValue* stack, TensorFrame* frame, Call* call) {
  TensorHandle tensor = signature.kinds[i] == '?' ? ReadOptional(&stack[i]) : Bits<TensorHandle>(stack[i]);
  return SetInput(tensor, i, frame, call);
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
      CheckTorch(shim->string_data(Bits<void*>(value), &text));
      arg->type_index = kTVMFFIRawStr;
      arg->v_c_str = text;
      return true;
    }
    default:
      return false;
  }
}

// Reads the stack without taking anything from it; false where the slow way is needed.
bool ReadStack(const Signature& signature, StackValue* stack, TensorFrame* frame, Call* call) {
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

// Hands the call as it is to the sibling written in Python, which never raises: it keeps its exception.
void GoSlow(const Slot& slot, StackValue* stack, uint64_t inputs, uint64_t outputs) {
  StackValue more[kTorchArguments];
  std::memcpy(more, stack, sizeof(StackValue) * inputs);
  CheckTorch(shim->call_dispatcher(slot.slow.c_str(), "", more, kTorchAbi));
  std::memcpy(stack, more, sizeof(StackValue) * outputs);
  const std::string problem = (*take_text)().cast<std::string>();
  if (problem.empty()) return;
  for (uint64_t i = 0; i < outputs; ++i) shim->delete_tensor(Bits<TensorHandle>(stack[i]));
  throw std::runtime_error(problem);
}

// Runs the native kernel; false, with the stack untouched, where the slow way is needed.
bool GoFast(Cell* cell, StackValue* stack) {
  const Signature& signature = cell->signature();
  if (signature.always_slow || cell->is_slow()) return false;
  TensorFrame frame;
  Call call;
  if (!ReadStack(signature, stack, &frame, &call)) return false;
  TensorHandle made[kMaxOutputs];
  const Ran ran = RunOnTensors(cell, &frame, &call, made);
  if (ran == Ran::kRefused) return false;
  if (ran == Ran::kFailed) throw std::runtime_error(KernelFailure(signature));
  Owned owned;
  TakeStack(signature, stack, &owned);
  std::memcpy(stack, made, sizeof(TensorHandle) * signature.output_count);
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
  std::vector<std::string> known(names.begin(), names.end());
  std::vector<DLDataType> pairs;
  for (const ffi::Array<int64_t>& code : codes) {
    pairs.push_back({static_cast<uint8_t>(code[0]), static_cast<uint8_t>(code[1]), 1});
  }
  OpenTorch(std::string(path), known, pairs);
  take_text = new ffi::Function(std::move(text));  // lives as long as the process
  shim = TorchShim();
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
  CheckTorch(shim->library_fragment(ns.c_str(), __FILE__, __LINE__, &library));
  CheckTorch(shim->library_def(library, schema.c_str()));
  for (const char* key : {"CPU", "CUDA"}) {
    LibraryHandle implementation = nullptr;
    CheckTorch(shim->library_init_impl(ns.c_str(), key, __FILE__, __LINE__, &implementation));
    CheckTorch(shim->library_impl(implementation, name.c_str(), kThunks[next_slot], kTorchAbi));
  }
  return kSlots - ++next_slot;
}

}  // namespace

TVM_FFI_DLL_EXPORT_TYPED_FUNC(torch_init, TorchInit);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(torch_bind, TorchBind);

}  // namespace openautoglm

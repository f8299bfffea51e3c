// The functions Python sees: making cells, publishing kernels, and the door that NumPy and C++ callers use.

#include "cell.h"

namespace openautoglm {

namespace ffi = tvm::ffi;

namespace {

const DLTensor* TensorOf(const TVMFFIAny& value) {
  if (value.type_index == kTVMFFIDLTensorPtr) return static_cast<const DLTensor*>(value.v_ptr);
  if (value.type_index == kTVMFFITensor) return TVMFFITensorGetDLTensorPtr(value.v_obj);
  return nullptr;
}

// Whether elements are there to be read: a tensor that only stands for one (torch's FakeTensor) points nowhere.
bool HasMemory(const DLTensor& t) {
  if (t.data != nullptr) return true;
  for (int i = 0; i < t.ndim; ++i) {
    if (t.shape[i] == 0) return true;
  }
  return false;
}

bool ReadInputs(const Signature& signature, const TVMFFIAny* args, Call* call) {
  for (int i = 0; i < signature.inputs; ++i) {
    call->tensors[i] = const_cast<DLTensor*>(TensorOf(args[i]));
    if (call->tensors[i] == nullptr && args[i].type_index != kTVMFFINone) return false;
    if (call->tensors[i] != nullptr && !HasMemory(*call->tensors[i])) return false;
  }
  return true;
}

bool SameShape(const DLTensor& t, const int64_t* shape, int rank) {
  if (t.ndim != rank) return false;
  for (int i = 0; i < rank; ++i) {
    if (t.shape[i] != shape[i]) return false;
  }
  return true;
}

// Whether a caller's output has the shape and dtype that the rule says. A broadcast is left to the kernel's own check.
bool OutputFits(const OutputRule& rule, const Call& call, const DLTensor& out) {
  const DLDataType dtype = rule.dtype_input < 0 ? rule.dtype : call.tensors[rule.dtype_input]->dtype;
  if (DtypeByte(out.dtype) != DtypeByte(dtype) || !IsContiguous(out)) return false;
  if (rule.rule == Rule::kLike) {
    const DLTensor& like = *call.tensors[rule.like];
    return SameShape(out, like.shape, like.ndim);
  }
  Bindings bound = call.bound;
  return rule.rule != Rule::kShape || Match(rule.pattern, out, &bound);
}

bool OutputsFit(const Signature& signature, const TVMFFIAny* args, const Call& call) {
  for (int i = 0; i < signature.output_count; ++i) {
    const DLTensor* out = TensorOf(args[signature.kinds.size() + i]);
    if (out == nullptr || !HasMemory(*out) || !OutputFits(signature.outputs[i], call, *out)) return false;
  }
  return true;
}

[[noreturn]] void Refuse(const Signature& signature) {
  TVM_FFI_THROW(RuntimeError) << "[OAG201] no native kernel of `" << signature.name
                              << "` takes this call as it is\n  fix: call the operator, which explains and converts";
  throw;  // not reached
}

// door(*inputs, *attributes, *outputs): no Python between the caller and the kernel.
void Enter(Cell* cell, ffi::PackedArgs args, ffi::Any* result) {
  const Signature& signature = cell->signature();
  const int wanted = static_cast<int>(signature.kinds.size()) + signature.output_count;
  if (args.size() != wanted) {
    TVM_FFI_THROW(TypeError) << signature.name << " takes " << wanted << " arguments, outputs included, got "
                             << args.size();
  }
  const auto* raw = reinterpret_cast<const TVMFFIAny*>(args.data());
  switch (EnterDoor(cell, raw, false, reinterpret_cast<TVMFFIAny*>(result))) {
    case Entered::kDone:
      return;
    case Entered::kRefused:
      Refuse(signature);
    case Entered::kFailed:
      throw ffi::details::MoveFromSafeCallRaised();
  }
}

TVMFFISafeCallType CallOf(const ffi::Function& function) {
  const auto* handle = reinterpret_cast<const TVMFFIObject*>(function.get());
  return TVMFFIFunctionGetCellPtr(const_cast<TVMFFIObject*>(handle))->safe_call;
}

TVMFFISafeCallType python_call = nullptr;  // the one of every function written in Python

void CellPython(ffi::Function function) { python_call = CallOf(function); }

int64_t CellNew(ffi::String signature) { return NewCell(ParseSignature(std::string(signature))); }

int64_t CellPublish(int64_t id, ffi::Array<ffi::Array<int64_t>> keys, ffi::Array<ffi::Function> functions,
                    ffi::Array<int64_t> flags, ffi::Array<int64_t> counters) {
  Cell* cell = CellOf(id);
  auto next = std::make_unique<Snapshot>();
  for (size_t i = 0; i < keys.size(); ++i) {
    Entry entry;
    for (int64_t byte : keys[i]) entry.key.Add(static_cast<uint8_t>(byte));
    entry.function = functions[i];
    const auto* handle = reinterpret_cast<const TVMFFIObject*>(entry.function.get());
    entry.call = CallOf(entry.function);
    entry.self = const_cast<TVMFFIObject*>(handle);
    entry.flags = static_cast<int>(flags[i]) | (entry.call == python_call ? kCallsPython : 0);
    entry.counter = static_cast<int>(counters[i]);
    if (entry.counter < 0 || entry.counter >= kMaxKernels) {
      TVM_FFI_THROW(ValueError) << "an operator has at most " << kMaxKernels << " kernels";
    }
    next->entries.push_back(std::move(entry));
  }
  return cell->Publish(std::move(next));
}

void CellSlow(int64_t id, int64_t delta) { CellOf(id)->AddSlow(static_cast<int>(delta)); }

ffi::Array<int64_t> CellCounts(int64_t id) {
  const Cell* cell = CellOf(id);
  ffi::Array<int64_t> counts;
  for (int i = 0; i < kMaxKernels; ++i) counts.push_back(cell->CountOf(i));
  return counts;
}

ffi::Function CellDoor(int64_t id) {
  Cell* cell = CellOf(id);
  return ffi::Function::FromPacked([cell](ffi::PackedArgs args, ffi::Any* result) { Enter(cell, args, result); });
}

}  // namespace

Entered EnterDoor(Cell* cell, const TVMFFIAny* args, bool are_views, TVMFFIAny* result) {
  const Signature& signature = cell->signature();
  Call call;
  if (signature.always_slow || cell->is_slow() || !ReadInputs(signature, args, &call) || !cell->Prepare(&call) ||
      !OutputsFit(signature, args, call)) {
    return Entered::kRefused;
  }
  Snapshot* snapshot = cell->Acquire();
  const Entry* entry = snapshot->Find(call.key);
  if (entry == nullptr || ((entry->flags & kWantsContiguous) && !call.contiguous) ||
      ((entry->flags & kCallsPython) && are_views)) {
    Cell::Release(snapshot);
    return Entered::kRefused;
  }
  cell->Count(entry->counter);
  const int count = static_cast<int>(signature.kinds.size()) + signature.output_count;
  const int failed = entry->call(entry->self, args, count, result);
  Cell::Release(snapshot);
  return failed == 0 ? Entered::kDone : Entered::kFailed;
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(cell_python, CellPython);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cell_new, CellNew);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cell_publish, CellPublish);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cell_slow, CellSlow);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cell_counts, CellCounts);
TVM_FFI_DLL_EXPORT_TYPED_FUNC(cell_door, CellDoor);

}  // namespace openautoglm

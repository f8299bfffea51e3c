// The native way in, for tensors of torch and arrays of NumPy; any other array goes through tvm-ffi, as does what is
// refused, which is worded there.

#include "attributes.h"
#include "ndarray.h"
#include "tensor.h"

namespace openautoglm {

namespace {

constexpr const char* kDoor = "openautoglm.door";

struct Door {
  Cell* cell;
  PyObject* otherwise;    // owned: the same door by tvm-ffi
  PyObject* raise_error;  // owned: raises an error of a kernel, given its kind and message
};

struct Frame {
  TensorFrame tensors;
  Layout layouts[kMaxInputs + kMaxOutputs];  // of NumPy's arrays
  bool has_tensors = false;
};

// Describes one array; false where tvm-ffi has to look at it.
bool ReadArray(PyObject* value, bool is_output, int place, DLTensor* view, Frame* frame) {
  if (IsNdarray(value)) {
    return (!is_output || IsWritable(value)) && ViewNdarray(value, view, &frame->layouts[place]);
  }
  if (!IsTensor(value) || !IsPlain(value)) return false;
  frame->has_tensors = true;
  return ViewTensor(HandleOf(value), view);
}

bool ReadArguments(const Signature& signature, PyObject* const* given, Frame* frame) {
  const int count = static_cast<int>(signature.kinds.size());
  for (int i = 0; i < count + signature.output_count; ++i) {
    TVMFFIAny* arg = &frame->tensors.args[i];
    if (i >= signature.inputs && i < count) {
      if (!ReadPlain(signature.kinds[i], given[i], arg)) return false;
    } else if (given[i] == Py_None) {
      if (i >= count) return false;
      *arg = TVMFFIAny{};
    } else {
      const int place = i < count ? i : kMaxInputs + i - count;
      DLTensor* view = &frame->tensors.views[place];
      if (!ReadArray(given[i], i >= count, place, view, frame)) return false;
      SetTensor(view, arg);
    }
  }
  return true;
}

// The device whose stream counts: that of the first array.
DLDevice DeviceOf(const Signature& signature, const TensorFrame& frame) {
  const size_t count = signature.kinds.size() + signature.output_count;
  for (size_t i = 0; i < count; ++i) {
    if (frame.args[i].type_index == kTVMFFIDLTensorPtr) return static_cast<DLTensor*>(frame.args[i].v_ptr)->device;
  }
  return {kDLCPU, 0};
}

Entered Enter(Cell* cell, const Frame& frame) {
  tvm::ffi::Any result;  // owned: a kernel may return an object
  Unlocked unlocked;
  if (!frame.has_tensors) return EnterDoor(cell, frame.tensors.args, true, reinterpret_cast<TVMFFIAny*>(&result));
  const DLDevice device = DeviceOf(cell->signature(), frame.tensors);
  Environment environment(device.device_type, device.device_id);
  return EnterDoor(cell, frame.tensors.args, true, reinterpret_cast<TVMFFIAny*>(&result));
}

PyObject* RaiseError(const Door& door) {
  if (PyErr_Occurred() != nullptr) return nullptr;  // of a kernel that calls into Python
  const KernelError error = TakeError();
  PyObject* kind = Text(error.kind);
  PyObject* message = Text(error.message);
  if (kind != nullptr && message != nullptr) {
    Py_XDECREF(PyObject_CallFunctionObjArgs(door.raise_error, kind, message, nullptr));
  }
  Py_XDECREF(kind);
  Py_XDECREF(message);
  return nullptr;
}

PyObject* GoOtherwise(const Door& door, PyObject* const* given, Py_ssize_t count) {
  PyObject* arguments = PyTuple_New(count);
  if (arguments == nullptr) return nullptr;
  for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SetItem(arguments, i, Py_NewRef(given[i]));
  PyObject* result = PyObject_Call(door.otherwise, arguments, nullptr);
  Py_DECREF(arguments);
  return result;
}

PyObject* CallDoor(PyObject* self, PyObject* const* given, Py_ssize_t count) {
  const Door& door = *static_cast<Door*>(PyCapsule_GetPointer(self, kDoor));
  const Signature& signature = door.cell->signature();
  const auto wanted = static_cast<Py_ssize_t>(signature.kinds.size()) + signature.output_count;
  Frame frame;
  if (count != wanted || signature.always_slow) return GoOtherwise(door, given, count);
  try {
    if (ReadArguments(signature, given, &frame)) {
      const Entered entered = Enter(door.cell, frame);
      if (entered == Entered::kDone) Py_RETURN_NONE;
      if (entered == Entered::kFailed) return RaiseError(door);
    }
  } catch (const std::exception&) {  // torch could not describe a tensor
  }
  return GoOtherwise(door, given, count);
}

PyMethodDef call = {"door", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(CallDoor)), METH_FASTCALL,
                    "door(*inputs, *attributes, *outputs): run the native kernel that takes them as they are."};

void Destroy(PyObject* capsule) {
  auto* door = static_cast<Door*>(PyCapsule_GetPointer(capsule, kDoor));
  Py_DECREF(door->otherwise);
  Py_DECREF(door->raise_error);
  delete door;
}

}  // namespace

PyObject* MakeDoor(PyObject*, PyObject* args) {
  long long number = 0;
  PyObject *otherwise, *raise_error;
  if (!PyArg_ParseTuple(args, "LOO", &number, &otherwise, &raise_error)) return nullptr;
  Cell* cell = CellOrError(number);
  if (cell == nullptr) return nullptr;
  auto* door = new Door{cell, Py_NewRef(otherwise), Py_NewRef(raise_error)};
  PyObject* capsule = PyCapsule_New(door, kDoor, Destroy);
  if (capsule == nullptr) return nullptr;
  PyObject* made = PyCFunction_NewEx(&call, capsule, nullptr);
  Py_DECREF(capsule);
  return made;
}

}  // namespace openautoglm

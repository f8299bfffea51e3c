// A call of an operator: straight to the kernel where nobody could tell the difference, else to `__call__` in Python.

#include <new>

#include "attributes.h"
#include "ndarray.h"
#include "tensor.h"

namespace openautoglm {

namespace {

constexpr const char* kFront = "openautoglm.front";

// What a call needs to know of its operator. Holds names and plain values only: an operator, its kernels and this
// would else keep each other, out of sight of Python's collector.
struct Front {
  Cell* cell = nullptr;
  int inputs = 0;
  int count = 0;
  PyObject* names[kMaxArguments] = {};  // owned
  Attribute attributes[kMaxArguments];  // by place, from `inputs` on
  bool is_bound = false;                // torch knows the operator

  ~Front() {
    for (int i = 0; i < count; ++i) {
      Py_XDECREF(names[i]);
      Forget(&attributes[i]);
    }
  }
};

PyObject* front_name = nullptr;
PyObject* call_name = nullptr;
int numpy_watchers = 0;  // guarded by the interpreter's lock

struct Frame {
  PyObject* given[kMaxArguments] = {};  // null where absent; owned from `positional` on, else borrowed
  int positional = 0;
  int count = 0;
  TensorFrame tensors;
  Call call;
  Layout layouts[kMaxInputs + kMaxOutputs];  // of NumPy's arrays

  Frame() = default;
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  ~Frame() {
    for (int i = positional; i < count; ++i) Py_XDECREF(given[i]);
  }
};

int PlaceOf(const Front& front, PyObject* name) {
  for (int i = 0; i < front.count; ++i) {
    if (front.names[i] == name) return i;  // interned, as names in programs are
  }
  if (!PyUnicode_Check(name)) return -1;  // `op(**{1: 2})`
  for (int i = 0; i < front.count; ++i) {
    if (PyUnicode_Compare(front.names[i], name) == 0) return i;
  }
  return -1;
}

// Puts every argument in its place; false for a wrong call, which Python words.
bool Bind(const Front& front, PyObject* args, PyObject* named, Frame* frame) {
  const Py_ssize_t count = PyTuple_Size(args);
  if (count > front.count) return false;
  for (Py_ssize_t i = 0; i < count; ++i) frame->given[i] = PyTuple_GetItem(args, i);
  if (named == nullptr) return true;
  frame->positional = static_cast<int>(count);
  frame->count = front.count;
  PyObject *name, *value;
  Py_ssize_t at = 0;
  while (PyDict_Next(named, &at, &name, &value)) {
    const int place = PlaceOf(front, name);
    if (place < 0 || frame->given[place] != nullptr) return false;
    frame->given[place] = Py_NewRef(value);  // the caller's dict may change while the kernel runs
  }
  return true;
}

bool ReadAttributes(const Front& front, Frame* frame) {
  for (int i = front.inputs; i < front.count; ++i) {
    if (!ReadValue(front.attributes[i], frame->given[i], &frame->tensors.args[i])) return false;
  }
  return true;
}

bool IsAbsent(PyObject* value) { return value == nullptr || value == Py_None; }

PyObject* FirstArray(const Front& front, const Frame& frame) {
  for (int i = 0; i < front.inputs; ++i) {
    if (!IsAbsent(frame.given[i])) return frame.given[i];
  }
  return nullptr;
}

bool ReadTensors(const Front& front, Frame* frame) {
  const bool records = IsGradEnabled();
  for (int i = 0; i < front.inputs; ++i) {
    PyObject* value = frame->given[i];
    TensorHandle handle = nullptr;
    if (!IsAbsent(value)) {
      if (!IsTensor(value) || !IsPlain(value) || (records && RequiresGrad(value))) return false;
      handle = HandleOf(value);
    }
    if (!SetInput(handle, i, &frame->tensors, &frame->call)) return false;
  }
  return true;
}

// Wraps the outputs and gives them back to torch; null with an exception set.
PyObject* WrapAll(const Signature& signature, TensorHandle* made) {
  const int count = signature.output_count;
  PyObject* result = count == 1 ? Wrap(made[0]) : PyTuple_New(count);
  for (int i = 0; i < count; ++i) {
    if (count > 1 && result != nullptr) {
      PyObject* one = Wrap(made[i]);
      if (one == nullptr) {
        Py_CLEAR(result);
      } else {
        PyTuple_SetItem(result, i, one);
      }
    }
    TorchShim()->delete_tensor(made[i]);
  }
  return result;
}

Ran RunUnlocked(Cell* cell, Frame* frame, TensorHandle* made) {
  Unlocked unlocked;
  Environment environment(kDLCPU, 0);  // the stream is set by the run
  return RunOnTensors(cell, &frame->tensors, &frame->call, made);
}

Way CallOnTensors(const Front& front, Frame* frame, PyObject** result) {
  TensorHandle made[kMaxOutputs];
  Ran ran = Ran::kRefused;
  try {
    if (!IsOrdinaryThread() || !ReadTensors(front, frame)) return Way::kSlow;
    ran = RunUnlocked(front.cell, frame, made);
  } catch (const std::exception&) {  // torch said no before the kernel ran; its other way in says why
    return Way::kSlow;
  }
  if (ran == Ran::kRefused) return Way::kSlow;
  if (ran == Ran::kFailed) {
    return PyErr_Occurred() ? Way::kRaised : RaiseFailure(KernelFailure(front.cell->signature()));
  }
  *result = WrapAll(front.cell->signature(), made);
  return *result == nullptr ? Way::kRaised : Way::kDone;
}

bool ReadArrays(const Front& front, Frame* frame) {
  for (int i = 0; i < front.inputs; ++i) {
    TVMFFIAny* arg = &frame->tensors.args[i];
    PyObject* value = frame->given[i];
    if (IsAbsent(value)) {
      *arg = TVMFFIAny{};
      continue;
    }
    DLTensor* view = &frame->tensors.views[i];
    if (!IsNdarray(value) || !ViewNdarray(value, view, &frame->layouts[i])) return false;
    frame->call.tensors[i] = view;
    SetTensor(view, arg);
  }
  return true;
}

// Makes the outputs; null, perhaps with an exception set, where that cannot be done here.
PyObject* MakeArrays(const Signature& signature, Frame* frame) {
  PyObject* made = PyTuple_New(signature.output_count);
  for (int i = 0; made != nullptr && i < signature.output_count; ++i) {
    const OutputRule& rule = signature.outputs[i];
    Extent* extent = &frame->tensors.extents[i];
    DLTensor* view = &frame->tensors.views[kMaxInputs + i];
    const DLDataType dtype = rule.dtype_input < 0 ? rule.dtype : frame->call.tensors[rule.dtype_input]->dtype;
    PyObject* one = ExtentOf(rule, frame->call, extent)
                        ? NewNdarray(*extent, dtype, view, &frame->layouts[kMaxInputs + i])
                        : nullptr;
    if (one == nullptr) {
      Py_CLEAR(made);
    } else {
      PyTuple_SetItem(made, i, one);
      SetTensor(view, &frame->tensors.args[signature.kinds.size() + i]);
    }
  }
  return made;
}

bool Invoke(const Entry& entry, const Signature& signature, Frame* frame) {
  tvm::ffi::Any result;  // owned: a kernel may return an object
  const int count = static_cast<int>(signature.kinds.size()) + signature.output_count;
  Unlocked unlocked;
  return entry.call(entry.self, frame->tensors.args, count, reinterpret_cast<TVMFFIAny*>(&result)) == 0;
}

Way RaiseOf(PyObject* self, int counter) {
  if (PyErr_Occurred() != nullptr) return Way::kRaised;
  const KernelError error = TakeError();
  PyObject* message = Text(error.message);
  if (message == nullptr) return Way::kRaised;
  Py_XDECREF(PyObject_CallMethod(self, "_raise_failure", "isO", counter, error.kind.c_str(), message));
  Py_DECREF(message);
  return Way::kRaised;
}

// Runs an entry on arrays whose outputs are made here; kSlow where NumPy would not make them.
Way RunOnArrays(PyObject* self, Cell* cell, const Entry& entry, Frame* frame, PyObject** result) {
  const Signature& signature = cell->signature();
  PyObject* made = MakeArrays(signature, frame);
  if (made == nullptr) {
    PyErr_Clear();
    return Way::kSlow;
  }
  cell->Count(entry.counter);
  if (!Invoke(entry, signature, frame)) {
    Py_DECREF(made);
    return RaiseOf(self, entry.counter);
  }
  *result = signature.output_count == 1 ? Py_NewRef(PyTuple_GetItem(made, 0)) : Py_NewRef(made);
  Py_DECREF(made);
  return Way::kDone;
}

Way CallOnArrays(PyObject* self, const Front& front, Frame* frame, PyObject** result) {
  Cell* cell = front.cell;
  if (numpy_watchers > 0 || cell->is_slow() || !ReadArrays(front, frame) || !cell->Prepare(&frame->call)) {
    return Way::kSlow;
  }
  Snapshot* snapshot = cell->Acquire();
  const Entry* entry = snapshot->Find(frame->call.key);
  Way way = Way::kSlow;
  if (entry != nullptr && !(entry->flags & kCallsPython) &&
      (frame->call.contiguous || !(entry->flags & kWantsContiguous))) {
    way = RunOnArrays(self, cell, *entry, frame, result);
  }
  Cell::Release(snapshot);
  return way;
}

Way CallDirectly(PyObject* self, const Front& front, PyObject* args, PyObject* named, PyObject** result) {
  Frame frame;
  if (!Bind(front, args, named, &frame)) return Way::kSlow;
  PyObject* first = FirstArray(front, frame);
  if (first == nullptr) return Way::kSlow;
  if (IsTensor(first)) {
    if (!front.is_bound || !ReadAttributes(front, &frame)) return Way::kSlow;
    return CallOnTensors(front, &frame, result);
  }
  if (!IsNdarray(first) || !ReadAttributes(front, &frame)) return Way::kSlow;
  return CallOnArrays(self, front, &frame, result);
}

// Calls the `__call__` that Python code sees.
PyObject* CallSlowly(PyObject* self, PyObject* args, PyObject* named) {
  PyObject* call = PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(self)), call_name);
  if (call == nullptr) return nullptr;
  const Py_ssize_t count = PyTuple_Size(args);
  PyObject* all = PyTuple_New(count + 1);
  PyObject* result = nullptr;
  if (all != nullptr) {
    PyTuple_SetItem(all, 0, Py_NewRef(self));
    for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SetItem(all, i + 1, Py_NewRef(PyTuple_GetItem(args, i)));
    result = PyObject_Call(call, all, named);
    Py_DECREF(all);
  }
  Py_DECREF(call);
  return result;
}

PyObject* CallOperator(PyObject* self, PyObject* args, PyObject* named) {
  PyObject* capsule = PyObject_GetAttr(self, front_name);
  Way way = Way::kSlow;
  PyObject* result = nullptr;
  if (capsule == nullptr) {
    PyErr_Clear();  // half an operator: it has none yet
  } else {
    auto* front = static_cast<Front*>(PyCapsule_GetPointer(capsule, kFront));
    if (front == nullptr) {
      PyErr_Clear();
    } else {
      way = CallDirectly(self, *front, args, named, &result);
    }
    Py_DECREF(capsule);
  }
  return way == Way::kSlow ? CallSlowly(self, args, named) : result;
}

void Destroy(PyObject* capsule) { delete static_cast<Front*>(PyCapsule_GetPointer(capsule, kFront)); }

bool ReadFront(Front* front, PyObject* names, PyObject* rules) {
  const Signature& signature = front->cell->signature();
  front->count = static_cast<int>(signature.kinds.size());
  front->inputs = signature.inputs;
  if (PyTuple_Size(names) != front->count || PyTuple_Size(rules) != front->count - front->inputs) {
    PyErr_SetString(PyExc_ValueError, "the operator's calls cannot be read here");
    return false;
  }
  for (int i = 0; i < front->count; ++i) {
    front->names[i] = Py_NewRef(PyTuple_GetItem(names, i));
    PyUnicode_InternInPlace(&front->names[i]);
    if (i >= front->inputs &&
        !ReadRule(signature.kinds[i], PyTuple_GetItem(rules, i - front->inputs), &front->attributes[i])) {
      return false;
    }
  }
  return true;
}

}  // namespace

PyObject* MakeFront(PyObject*, PyObject* args) {
  long long number = 0;
  PyObject *names, *rules;
  if (!PyArg_ParseTuple(args, "LO!O!", &number, &PyTuple_Type, &names, &PyTuple_Type, &rules)) return nullptr;
  auto front = std::make_unique<Front>();
  front->cell = CellOrError(number);
  if (front->cell == nullptr) return nullptr;
  if (front->cell->signature().always_slow) Py_RETURN_NONE;
  if (!ReadFront(front.get(), names, rules)) return nullptr;
  PyObject* capsule = PyCapsule_New(front.get(), kFront, Destroy);
  if (capsule != nullptr) front.release();
  return capsule;
}

PyObject* BindFront(PyObject*, PyObject* capsule) {
  auto* front = static_cast<Front*>(PyCapsule_GetPointer(capsule, kFront));
  if (front == nullptr) return nullptr;
  front->is_bound = true;
  Py_RETURN_NONE;
}

PyObject* WatchNumpy(PyObject*, PyObject* delta) {
  const long number = PyLong_AsLong(delta);
  if (number == -1 && PyErr_Occurred() != nullptr) return nullptr;
  numpy_watchers += static_cast<int>(number);
  Py_RETURN_NONE;
}

// Takes a class and the `__call__` that Python code sees, Dynamo above all; calls themselves go through C.
PyObject* MakeType(PyObject*, PyObject* args) {
  PyObject *base, *call;
  if (!PyArg_ParseTuple(args, "O!O", &PyType_Type, &base, &call)) return nullptr;
  if (front_name == nullptr) front_name = PyUnicode_InternFromString("_front");
  if (call_name == nullptr) call_name = PyUnicode_InternFromString("__call__");
  PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(CallOperator)}, {0, nullptr}};
  PyType_Spec spec = {"openautoglm.ops.registered.RegisteredOperator", 0, 0, Py_TPFLAGS_DEFAULT, slots};
  PyObject* type = PyType_FromSpecWithBases(&spec, base);
  if (type == nullptr) return nullptr;
  // not PyObject_SetAttr, which would put `__call__` behind the slot again
  if (PyObject_GenericSetAttr(type, call_name, call) < 0) {
    Py_DECREF(type);
    return nullptr;
  }
  PyType_Modified(reinterpret_cast<PyTypeObject*>(type));
  return type;
}

}  // namespace openautoglm

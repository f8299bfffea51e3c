#include "tensor.h"

#include <dlfcn.h>
#include <tvm/ffi/extra/c_env_api.h>

namespace openautoglm {

namespace {

constexpr int kMaxKeys = 8;
constexpr int kImplWords = 24;  // of a TensorImpl; its keys are its last member

struct Keys {  // which of torch's dispatch keys a thread includes and excludes, beyond the default
  uint64_t included;
  uint64_t excluded;
  bool operator==(const Keys& other) const { return included == other.included && excluded == other.excluded; }
};

// Functions of torch, by the names its libraries export.
bool (*is_grad_enabled)() = nullptr;
bool (*has_callbacks)() = nullptr;
bool (*is_function_mode_on)() = nullptr;
bool (*requires_grad)(const void* impl) = nullptr;
PyObject* (*wrap)(const void* tensor) = nullptr;
void* libc10 = nullptr;

// Found by ReadyTorch.
PyTypeObject* tensor_type = nullptr;  // null: tensors are not read in place
PyTypeObject* parameter_type = nullptr;
size_t impl_offset = 0;  // of the pointer in the Python object
size_t keys_offset = 0;  // of the key set in what it points to
uint64_t plain_keys[kMaxKeys];
int plain_count = 0;
Keys inference{};
PyObject* forward_ad = nullptr;  // the namespace of torch.autograd.forward_ad
PyObject* level_name = nullptr;
PyObject* no_level = nullptr;  // -1, of which there is one
PyObject* raise_failure = nullptr;
DLPackManagedTensorAllocator allocator = nullptr;

// Where this thread's keys are; the same place for as long as the thread lives.
const Keys* KeysOfThread() {
  static thread_local const Keys* keys = nullptr;
  if (keys == nullptr && libc10 != nullptr) {
    keys = static_cast<const Keys*>(dlsym(libc10, "_ZN3c104impl26raw_local_dispatch_key_setE"));
  }
  return keys;
}

template <typename F>
bool Find(void* library, const char* name, F* function) {
  *function = library == nullptr ? nullptr : reinterpret_cast<F>(dlsym(library, name));
  return *function != nullptr;
}

const char* FindFunctions(const char* c10, const char* cpu, const char* python) {
  // NOLOAD: the torch that Python imported, never a second one
  libc10 = dlopen(c10, RTLD_LAZY | RTLD_NOLOAD);
  void* libtorch = dlopen(cpu, RTLD_LAZY | RTLD_NOLOAD);
  void* libpython = dlopen(python, RTLD_LAZY | RTLD_NOLOAD);
  if (KeysOfThread() == nullptr) return "dispatch keys of a thread";
  if (!Find(libc10, "_ZN3c108GradMode10is_enabledEv", &is_grad_enabled)) return "GradMode::is_enabled";
  if (!Find(libc10, "_ZNK3c1010TensorImpl13requires_gradEv", &requires_grad)) return "TensorImpl::requires_grad";
  if (!Find(libtorch, "_ZN2at12hasCallbacksEv", &has_callbacks)) return "at::hasCallbacks";
  if (!Find(libtorch, "_ZN2at4impl27torch_function_mode_enabledEv", &is_function_mode_on)) {
    return "at::impl::torch_function_mode_enabled";
  }
  if (!Find(libpython, "_Z16THPVariable_WrapRKN2at10TensorBaseE", &wrap)) return "THPVariable_Wrap";
  return nullptr;
}

template <typename T>
T Load(const void* base, size_t offset) {
  return *reinterpret_cast<const T*>(static_cast<const char*>(base) + offset);
}

const void* ImplOf(PyObject* tensor) { return Load<const void*>(tensor, impl_offset); }

struct Sample {
  PyObject* tensor;
  unsigned long long impl;
  unsigned long long keys;
};

// Finds where every sample has what it says it has; false where there is no such place.
template <typename Has>
bool FindOffset(const std::vector<Sample>& samples, size_t words, Has has, size_t* offset) {
  for (*offset = 0; *offset < words * 8; *offset += 8) {
    bool is_there = true;
    for (const Sample& sample : samples) is_there = is_there && has(sample, *offset);
    if (is_there) return true;
  }
  return false;
}

bool ReadSamples(PyObject* list, std::vector<Sample>* samples) {
  for (Py_ssize_t i = 0; i < PyList_Size(list); ++i) {
    Sample sample{};
    if (!PyArg_ParseTuple(PyList_GetItem(list, i), "OKK", &sample.tensor, &sample.impl, &sample.keys)) return false;
    samples->push_back(sample);
  }
  return true;
}

bool Calibrate(const std::vector<Sample>& samples, size_t object_words) {
  if (samples.size() < 2) return false;
  return FindOffset(
             samples, object_words,
             [](const Sample& s, size_t at) { return Load<uint64_t>(s.tensor, at) == s.impl; }, &impl_offset) &&
         FindOffset(
             samples, kImplWords,
             [](const Sample& s, size_t at) {
               return Load<uint64_t>(reinterpret_cast<const void*>(s.impl), at) == s.keys;
             },
             &keys_offset);
}

bool ReadKeys(PyObject* keys) {
  const Py_ssize_t count = PyTuple_Size(keys);
  if (count > kMaxKeys) return false;
  for (Py_ssize_t i = 0; i < count; ++i) plain_keys[i] = PyLong_AsUnsignedLongLong(PyTuple_GetItem(keys, i));
  plain_count = static_cast<int>(count);
  return PyErr_Occurred() == nullptr;
}

void ReadAllocator(PyObject* capsule) {
  if (capsule == Py_None) return;
  auto* api = static_cast<DLPackExchangeAPI*>(PyCapsule_GetPointer(capsule, "dlpack_exchange_api"));
  if (api == nullptr) {
    PyErr_Clear();
  } else if (api->header.version.major == DLPACK_MAJOR_VERSION) {
    allocator = api->managed_tensor_allocator;
  }
}

bool IsForwardModeOff() { return PyDict_GetItemWithError(forward_ad, level_name) == no_level; }

}  // namespace

PyObject* OpenPythonTorch(PyObject*, PyObject* args) {
  const char *c10, *cpu, *python;
  if (!PyArg_ParseTuple(args, "sss", &c10, &cpu, &python)) return nullptr;
  const char* lacks = FindFunctions(c10, cpu, python);
  if (lacks == nullptr) Py_RETURN_NONE;
  return PyUnicode_FromString(lacks);
}

PyObject* ThreadKeys(PyObject*, PyObject*) {
  const Keys* keys = KeysOfThread();
  if (keys == nullptr) Py_RETURN_NONE;
  return Py_BuildValue("KK", static_cast<unsigned long long>(keys->included),
                       static_cast<unsigned long long>(keys->excluded));
}

// Takes (Tensor, Parameter), words of a tensor's object, [(tensor, address, keys)], the keys of plain tensors, those
// of a thread in inference mode, the namespace of forward_ad, what raises a failure, and the exchange API or None.
PyObject* ReadyTorch(PyObject*, PyObject* args) {
  PyObject *tensor, *parameter, *list, *keys, *names, *raise, *api;
  unsigned long long included = 0, excluded = 0;
  int words = 0;
  if (!PyArg_ParseTuple(args, "(OO)iO!O!(KK)O!OO", &tensor, &parameter, &words, &PyList_Type, &list, &PyTuple_Type,
                        &keys, &included, &excluded, &PyDict_Type, &names, &raise, &api)) {
    return nullptr;
  }
  if (tensor_type != nullptr) Py_RETURN_TRUE;
  std::vector<Sample> samples;
  if (!ReadSamples(list, &samples) || !ReadKeys(keys)) return nullptr;
  if (wrap == nullptr || TorchShim() == nullptr || !Calibrate(samples, static_cast<size_t>(words))) Py_RETURN_FALSE;
  inference = {included, excluded};
  forward_ad = Py_NewRef(names);
  level_name = PyUnicode_InternFromString("_current_level");
  no_level = PyLong_FromLong(-1);
  raise_failure = Py_NewRef(raise);
  ReadAllocator(api);
  parameter_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(parameter));
  tensor_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(tensor));
  Py_RETURN_TRUE;
}

bool IsTensor(PyObject* value) {
  return tensor_type != nullptr && (Py_TYPE(value) == tensor_type || Py_TYPE(value) == parameter_type);
}

bool IsPlain(PyObject* tensor) {
  const void* impl = ImplOf(tensor);
  if (impl == nullptr) return false;
  const auto keys = Load<uint64_t>(impl, keys_offset);
  for (int i = 0; i < plain_count; ++i) {
    if (plain_keys[i] == keys) return true;
  }
  return false;
}

// A handle of torch's C shim points to a tensor, which is one pointer: the one in the Python object.
TensorHandle HandleOf(PyObject* tensor) {
  return reinterpret_cast<TensorHandle>(reinterpret_cast<char*>(tensor) + impl_offset);
}

bool RequiresGrad(PyObject* tensor) { return requires_grad(ImplOf(tensor)); }

bool IsOrdinaryThread() {
  const Keys& keys = *KeysOfThread();
  if (!(keys == Keys{0, 0}) && !(keys == inference)) return false;
  return !has_callbacks() && !is_function_mode_on() && IsForwardModeOff();
}

bool IsGradEnabled() { return is_grad_enabled(); }

PyObject* Wrap(TensorHandle tensor) {
  try {
    PyObject* made = wrap(tensor);
    if (made == nullptr && PyErr_Occurred() == nullptr) PyErr_NoMemory();
    return made;
  } catch (const std::exception& error) {
    if (PyErr_Occurred() == nullptr) PyErr_SetString(PyExc_RuntimeError, error.what());
    return nullptr;
  }
}

Way RaiseFailure(const std::string& text) {
  PyObject* message = Text(text);
  PyObject* failure =
      message == nullptr ? nullptr : PyObject_CallFunctionObjArgs(PyExc_RuntimeError, message, nullptr);
  Py_XDECREF(message);
  if (failure == nullptr) return Way::kRaised;
  Py_XDECREF(PyObject_CallFunctionObjArgs(raise_failure, failure, nullptr));
  Py_DECREF(failure);
  return Way::kRaised;
}

Environment::Environment(int32_t device_type, int32_t device_index) {
  if (device_type == kDLCUDA && TorchShim()->current_stream != nullptr) {
    CheckTorch(TorchShim()->current_stream(device_index, &stream_));
    index_ = device_index;
    TVMFFIEnvSetStream(kDLCUDA, index_, stream_, &before_);
  }
  if (allocator != nullptr) TVMFFIEnvSetDLPackManagedTensorAllocator(allocator, 0, &allocator_);
}

Environment::~Environment() {
  if (index_ >= 0 && before_ != stream_) TVMFFIEnvSetStream(kDLCUDA, index_, before_, nullptr);
  if (allocator != nullptr && allocator_ != allocator) TVMFFIEnvSetDLPackManagedTensorAllocator(allocator_, 0, nullptr);
}

}  // namespace openautoglm

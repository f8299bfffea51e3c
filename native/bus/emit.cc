// `emit` of openautoglm.bus for what comes again and again: a type, an event, and a route that is known. Ids of messages.
//
// Everything else, wrong or only unusual, goes to the same function in Python, which does all of it and words what is
// wrong. Uses CPython's limited API alone, so that one build serves every CPython from 3.11, and no library besides.
#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "ids.h"

namespace {

using openautoglm::bus::Ids;

enum Name { kOwn, kFound, kSource, kPayload, kNoteFailure, kNameCount };
constexpr const char* kNames[kNameCount] = {"_own", "_found", "source", "payload", "note_failure"};

// What the module knows; all owned, null until `prepare`.
struct State {
  PyObject* otherwise;  // emit(type, event=None, /, **options), in Python
  PyObject* speaking;   // () -> the port of this context, or None
  PyObject* process;    // a list: the port of the process, once there is one
  PyObject* message;    // (type, source, payload) -> a message
  PyObject* names[kNameCount];
  Ids ids;
};

// Owns a reference, or null.
class Ref {
 public:
  explicit Ref(PyObject* owned = nullptr) : object_(owned) {}
  Ref(Ref&& other) noexcept : object_(other.object_) { other.object_ = nullptr; }
  Ref& operator=(Ref&& other) noexcept {
    PyObject* before = object_;
    object_ = other.object_;
    other.object_ = nullptr;
    Py_XDECREF(before);
    return *this;
  }
  ~Ref() { Py_XDECREF(object_); }
  PyObject* get() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  PyObject* object_;
};

State* StateOf(PyObject* module) { return static_cast<State*>(PyModule_GetState(module)); }

// What a dict has under a text; null where that is nothing, or one of them is not there or not as plain as that.
Ref Value(PyObject* dict, PyObject* key) {
  if (dict == nullptr || key == nullptr || !PyDict_CheckExact(dict) || !PyUnicode_CheckExact(key)) return Ref();
  return Ref(Py_XNewRef(PyDict_GetItemWithError(dict, key)));
}

// What emits here: the port of this context, else that of the process; null where there is none yet.
Ref Speaker(const State& state) {
  Ref port(PyObject_CallNoArgs(state.speaking));
  if (port.get() != Py_None) return port;
  return Ref(PyList_Size(state.process) < 1 ? nullptr : Py_NewRef(PyList_GetItem(state.process, 0)));
}

// The route of an event, as `Routes` has it, and its payload; null where Python has to look, perhaps with an exception.
Ref RouteOf(const State& state, PyObject* type, PyObject* event, Ref* payload) {
  const Ref port = Speaker(state);
  if (!port) return Ref();
  if (PyDict_Check(event)) *payload = Value(event, state.names[kPayload]);
  if (!*payload) {
    if (PyErr_Occurred() || (PyDict_Check(event) && !PyDict_CheckExact(event))) return Ref();
    *payload = Ref(Py_NewRef(event));
    const Ref own(PyObject_GetAttr(port.get(), state.names[kOwn]));  // the port of a worker has none
    return Value(own.get(), type);
  }
  if (PyDict_Size(event) != 2) return Ref();
  const Ref source = Value(event, state.names[kSource]);
  if (!source) return Ref();
  const Ref found(PyObject_GetAttr(port.get(), state.names[kFound]));
  const Ref types = Value(found.get(), source.get());
  return Value(types.get(), type);
}

// Tells a subscription that its handler raised what is set; false with what that raises.
bool NoteFailure(const State& state, PyObject* subscription, PyObject* message) {
  PyObject *kind, *value, *trace;
  PyErr_Fetch(&kind, &value, &trace);
  PyErr_NormalizeException(&kind, &value, &trace);
  if (trace != nullptr) PyException_SetTraceback(value, trace);
  const Ref noted(PyObject_CallMethodObjArgs(subscription, state.names[kNoteFailure], value, message, nullptr));
  Py_XDECREF(value);
  Py_XDECREF(kind);
  Py_XDECREF(trace);
  return static_cast<bool>(noted);
}

// Hands a message to one who takes it; false with an exception that ends more than its handler: KeyboardInterrupt.
bool Accept(const State& state, PyObject* taker, PyObject* message) {
  if (Ref(PyObject_CallFunctionObjArgs(PyTuple_GetItem(taker, 0), message, nullptr))) return true;
  return PyErr_ExceptionMatches(PyExc_Exception) && NoteFailure(state, PyTuple_GetItem(taker, 1), message);
}

PyObject* Send(const State& state, PyObject* route, PyObject* payload) {
  PyObject* takers = PyTuple_GetItem(route, 2);
  PyObject* message = PyObject_CallFunctionObjArgs(state.message, PyTuple_GetItem(route, 0), PyTuple_GetItem(route, 1),
                                                   payload, nullptr);
  for (Py_ssize_t i = 0; message != nullptr && i < PyTuple_Size(takers); ++i) {
    if (!Accept(state, PyTuple_GetItem(takers, i), message)) Py_CLEAR(message);
  }
  return message;
}

// Calls with the arguments of a call, the named ones last.
PyObject* CallWith(PyObject* function, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const Ref given(PyTuple_New(count)), named(names == nullptr ? nullptr : PyDict_New());
  if (!given || (names != nullptr && !named)) return nullptr;
  for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SetItem(given.get(), i, Py_NewRef(args[i]));
  for (Py_ssize_t i = 0; names != nullptr && i < PyTuple_Size(names); ++i) {
    if (PyDict_SetItem(named.get(), PyTuple_GetItem(names, i), args[count + i]) < 0) return nullptr;
  }
  return PyObject_Call(function, given.get(), named.get());
}

PyObject* Emit(PyObject* module, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  const State& state = *StateOf(module);
  if (state.otherwise == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "nobody has called `prepare`");
    return nullptr;
  }
  if (names == nullptr && count == 2) {
    Ref payload;
    const Ref route = RouteOf(state, args[0], args[1], &payload);
    if (route) return Send(state, route.get(), payload.get());
    PyErr_Clear();  // Python meets the same again, and words it
  }
  return CallWith(state.otherwise, args, count, names);
}

int Clear(PyObject* module) {
  State* state = StateOf(module);
  Py_CLEAR(state->otherwise);
  Py_CLEAR(state->speaking);
  Py_CLEAR(state->process);
  Py_CLEAR(state->message);
  for (PyObject*& name : state->names) Py_CLEAR(name);
  return 0;
}

int Traverse(PyObject* module, visitproc visit, void* arg) {
  const State* state = StateOf(module);
  Py_VISIT(state->otherwise);
  Py_VISIT(state->speaking);
  Py_VISIT(state->process);
  Py_VISIT(state->message);
  return 0;
}

PyObject* Prepare(PyObject* module, PyObject* args) {
  State* state = StateOf(module);
  PyObject *otherwise, *speaking, *process, *message;
  if (!PyArg_ParseTuple(args, "OOO!O", &otherwise, &speaking, &PyList_Type, &process, &message)) return nullptr;
  Clear(module);
  for (int i = 0; i < kNameCount; ++i) {
    state->names[i] = PyUnicode_InternFromString(kNames[i]);
    if (state->names[i] == nullptr) return nullptr;
  }
  state->speaking = Py_NewRef(speaking);
  state->process = Py_NewRef(process);
  state->message = Py_NewRef(message);
  state->otherwise = Py_NewRef(otherwise);
  Py_RETURN_NONE;
}

PyObject* NextId(PyObject* module, PyObject*) {
  size_t size;
  const char* id = StateOf(module)->ids.Next(&size);
  return PyUnicode_FromStringAndSize(id, static_cast<Py_ssize_t>(size));
}

PyObject* BeginIds(PyObject* module, PyObject* args) {
  const char* prefix;
  Py_ssize_t size;
  if (!PyArg_ParseTuple(args, "s#", &prefix, &size)) return nullptr;
  if (static_cast<size_t>(size) > Ids::kMaxPrefix) {
    PyErr_SetString(PyExc_ValueError, "the prefix is too long");
    return nullptr;
  }
  StateOf(module)->ids.Begin(prefix, static_cast<size_t>(size));
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"begin_ids", BeginIds, METH_VARARGS,
     "begin_ids($module, prefix, /)\n--\n\n"
     "Begin ids anew with a text of at most 32 bytes."},
    {"next_id", NextId, METH_NOARGS,
     "next_id($module, /)\n--\n\n"
     "Return an id that was not returned before."},
    {"emit", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(Emit)), METH_FASTCALL | METH_KEYWORDS,
     "emit($module, type_, event=None, /, **options)\n--\n\n"
     "Send a message to all who subscribed to its type; see `Port.emit`."},
    {"prepare", Prepare, METH_VARARGS,
     "prepare($module, otherwise, speaking, process, message, /)\n--\n\n"
     "Tell `emit` what to call, who speaks here and in the process, and what a message is."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "direct", nullptr, sizeof(State), functions, nullptr, Traverse, Clear,
    [](void* module) { Clear(static_cast<PyObject*>(module)); }};

}  // namespace

PyMODINIT_FUNC PyInit_direct() { return PyModule_Create(&definition); }

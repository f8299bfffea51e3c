// What the way in from Python has in common: CPython's limited API, so that one build serves every CPython from 3.11.
//
// Functions here hold the interpreter's lock unless they say otherwise, borrow what they are given and return new
// references. "Slow" is the operator's own `__call__`, written in Python, which does everything and words what is wrong.
#ifndef OPENAUTOGLM_PYTHON_PYTHON_H_
#define OPENAUTOGLM_PYTHON_PYTHON_H_

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <chrono>
#include <thread>

#include "../core/cell.h"

namespace openautoglm {

enum class Way { kDone, kSlow, kRaised };

// Lets other threads of Python run, as torch and tvm-ffi do around a kernel.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {  // the interpreter is ending: before 3.14 it unwinds this thread, which has no lock to do that with
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }

 private:
  PyThreadState* state_;
};

inline PyObject* Text(const std::string& text) {
  return PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
}

// Null with an exception set where no cell has the number.
inline Cell* CellOrError(long long number) {
  try {
    return CellOf(number);
  } catch (const std::exception&) {  // an exception of C++ must not get into Python
    PyErr_Format(PyExc_ValueError, "no operator cell has the id %lld", number);
    return nullptr;
  }
}

// The functions of the module, each in the file of what it is about.
PyObject* MakeDoor(PyObject* module, PyObject* args);         // door(cell, otherwise, raise_error)
PyObject* MakeFront(PyObject* module, PyObject* args);        // front(cell, names, attributes)
PyObject* BindFront(PyObject* module, PyObject* front);       // bind(front)
PyObject* MakeType(PyObject* module, PyObject* args);         // operator_type(base, call)
PyObject* WatchNumpy(PyObject* module, PyObject* delta);      // watch(delta)
PyObject* ReadyNumpy(PyObject* module, PyObject* args);       // ready_numpy(ndarray, empty, dtypes, samples)
PyObject* OpenPythonTorch(PyObject* module, PyObject* args);  // open_torch(libc10, libtorch_cpu, libtorch_python)
PyObject* ThreadKeys(PyObject* module, PyObject* unused);     // thread_keys()
PyObject* ReadyTorch(PyObject* module, PyObject* args);       // ready_torch(types, samples, keys, inference, ...)

}  // namespace openautoglm

#endif  // OPENAUTOGLM_PYTHON_PYTHON_H_

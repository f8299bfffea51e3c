// The core as a module of Python, beside its C ABI: the doors and the operators' calls.

#include "python.h"

namespace {

using namespace openautoglm;  // NOLINT: the module is a list of its names

PyMethodDef functions[] = {
    {"door", MakeDoor, METH_VARARGS, "Return the native way in of a cell."},
    {"front", MakeFront, METH_VARARGS, "Return what a call of an operator needs to know."},
    {"bind", BindFront, METH_O, "Let calls with torch's tensors go directly."},
    {"operator_type", MakeType, METH_VARARGS, "Return a type whose calls go directly where they can."},
    {"watch", WatchNumpy, METH_O, "Send calls on NumPy's arrays through Python while the sum is above 0."},
    {"ready_numpy", ReadyNumpy, METH_VARARGS, "Return whether NumPy's arrays can be read in place."},
    {"open_torch", OpenPythonTorch, METH_VARARGS, "Return what this torch lacks for direct calls, or None."},
    {"thread_keys", ThreadKeys, METH_NOARGS, "Return how this thread's dispatch differs from torch's default."},
    {"ready_torch", ReadyTorch, METH_VARARGS, "Return whether torch's tensors can be read in place."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "liboag_core", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_liboag_core() { return PyModule_Create(&definition); }

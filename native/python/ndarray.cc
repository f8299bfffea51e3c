#include "ndarray.h"

namespace openautoglm {

namespace {

// The head of NumPy's arrays, `PyArrayObject_fields` of its headers: part of the ABI that every extension is compiled
// against, so no NumPy is needed to build. Checked on real arrays before it is relied upon.
struct Ndarray {
  PyObject head;
  char* data;
  int rank;
  intptr_t* shape;
  intptr_t* strides;  // in bytes
  PyObject* base;
  PyObject* dtype;
  int flags;
};

constexpr int kAligned = 0x0100;
constexpr int kWritable = 0x0400;
constexpr int kMaxDtypes = 16;

struct Dtype {
  PyObject* object;  // NumPy's own instance, alive as long as the process
  DLDataType code;
};

PyTypeObject* ndarray_type = nullptr;  // null: not read in place
PyObject* empty = nullptr;
Dtype dtypes[kMaxDtypes];
int dtype_count = 0;

const Ndarray& Fields(PyObject* array) { return *reinterpret_cast<const Ndarray*>(array); }

const Dtype* DtypeOf(PyObject* object) {
  for (int i = 0; i < dtype_count; ++i) {
    if (dtypes[i].object == object) return &dtypes[i];
  }
  return nullptr;
}

const Dtype* DtypeFor(DLDataType code) {
  for (int i = 0; i < dtype_count; ++i) {
    if (dtypes[i].code.code == code.code && dtypes[i].code.bits == code.bits) return &dtypes[i];
  }
  return nullptr;
}

// Whether a tuple has these numbers.
bool Holds(PyObject* tuple, const intptr_t* numbers, int count) {
  if (PyTuple_Size(tuple) != count) return false;
  for (int i = 0; i < count; ++i) {
    if (PyLong_AsLongLong(PyTuple_GetItem(tuple, i)) != numbers[i]) return false;
  }
  return true;
}

// Whether an array is laid out as it says: (array, address, shape, strides, dtype, is writable).
bool IsAsTold(PyObject* sample) {
  PyObject *array, *shape, *strides, *dtype;
  unsigned long long address = 0;
  int is_writable = 0;
  if (!PyArg_ParseTuple(sample, "OKOOOp", &array, &address, &shape, &strides, &dtype, &is_writable)) return false;
  const Ndarray& fields = Fields(array);
  return reinterpret_cast<uintptr_t>(fields.data) == address && fields.rank == PyTuple_Size(shape) &&
         Holds(shape, fields.shape, fields.rank) && Holds(strides, fields.strides, fields.rank) &&
         fields.dtype == dtype && ((fields.flags & kWritable) != 0) == (is_writable != 0) &&
         (fields.flags & kAligned) != 0;
}

bool ReadDtypes(PyObject* pairs) {
  const Py_ssize_t count = PyList_Size(pairs);
  if (count < 0 || count > kMaxDtypes) return false;
  for (Py_ssize_t i = 0; i < count; ++i) {
    Dtype* dtype = &dtypes[i];
    if (!PyArg_ParseTuple(PyList_GetItem(pairs, i), "Obb", &dtype->object, &dtype->code.code, &dtype->code.bits)) {
      return false;
    }
    Py_INCREF(dtype->object);
    dtype->code.lanes = 1;
  }
  dtype_count = static_cast<int>(count);
  return true;
}

}  // namespace

// Takes ndarray, numpy.empty, [(dtype, code, bits)] and samples; returns whether arrays can be read in place.
PyObject* ReadyNumpy(PyObject*, PyObject* args) {
  PyObject *type, *make, *pairs, *samples;
  if (!PyArg_ParseTuple(args, "OOO!O!", &type, &make, &PyList_Type, &pairs, &PyList_Type, &samples)) return nullptr;
  if (ndarray_type != nullptr) Py_RETURN_TRUE;
  for (Py_ssize_t i = 0; i < PyList_Size(samples); ++i) {
    if (!IsAsTold(PyList_GetItem(samples, i))) {
      if (PyErr_Occurred() != nullptr) return nullptr;
      Py_RETURN_FALSE;
    }
  }
  if (!ReadDtypes(pairs)) {
    if (PyErr_Occurred() == nullptr) PyErr_SetString(PyExc_ValueError, "there are too many dtypes");
    return nullptr;
  }
  empty = Py_NewRef(make);
  ndarray_type = reinterpret_cast<PyTypeObject*>(Py_NewRef(type));
  Py_RETURN_TRUE;
}

bool IsNdarray(PyObject* value) { return ndarray_type != nullptr && Py_TYPE(value) == ndarray_type; }

bool IsWritable(PyObject* array) { return (Fields(array).flags & kWritable) != 0; }

bool ViewNdarray(PyObject* array, DLTensor* view, Layout* layout) {
  const Ndarray& fields = Fields(array);
  const Dtype* dtype = DtypeOf(fields.dtype);
  if (dtype == nullptr || fields.rank > kMaxRank || !(fields.flags & kAligned)) return false;
  const int64_t size = dtype->code.bits / 8;
  for (int i = 0; i < fields.rank; ++i) {
    if (fields.strides[i] % size != 0) return false;  // a field of a record
    layout->shape[i] = fields.shape[i];
    layout->strides[i] = fields.strides[i] / size;
  }
  view->data = fields.data;
  view->device = {kDLCPU, 0};
  view->ndim = fields.rank;
  view->dtype = dtype->code;
  view->shape = layout->shape;
  view->strides = layout->strides;
  view->byte_offset = 0;
  return true;
}

PyObject* NewNdarray(const Extent& extent, DLDataType code, DLTensor* view, Layout* layout) {
  const Dtype* dtype = DtypeFor(code);
  if (dtype == nullptr) return nullptr;
  PyObject* shape = PyTuple_New(extent.rank);
  if (shape == nullptr) return nullptr;
  for (int i = 0; i < extent.rank; ++i) PyTuple_SetItem(shape, i, PyLong_FromLongLong(extent.sizes[i]));
  PyObject* made = PyErr_Occurred() ? nullptr : PyObject_CallFunctionObjArgs(empty, shape, dtype->object, nullptr);
  Py_DECREF(shape);
  if (made != nullptr && !(IsNdarray(made) && ViewNdarray(made, view, layout))) Py_CLEAR(made);
  return made;
}

}  // namespace openautoglm

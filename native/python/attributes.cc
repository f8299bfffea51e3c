#include "attributes.h"

#include <cstring>

namespace openautoglm {

namespace {

// Whether it is exactly this type: a subclass may read as something else.
bool IsExactly(PyObject* value, PyTypeObject* type) { return Py_TYPE(value) == type; }

bool ReadFloat(PyObject* given, TVMFFIAny* arg) {
  arg->type_index = kTVMFFIFloat;
  if (IsExactly(given, &PyFloat_Type)) {
    arg->v_float64 = PyFloat_AsDouble(given);
    return true;
  }
  if (!IsExactly(given, &PyLong_Type)) return false;
  arg->v_float64 = PyLong_AsDouble(given);
  if (arg->v_float64 != -1.0 || PyErr_Occurred() == nullptr) return true;
  PyErr_Clear();  // too large
  return false;
}

bool ReadInt(PyObject* given, TVMFFIAny* arg) {
  if (!IsExactly(given, &PyLong_Type)) return false;
  int overflow = 0;
  arg->type_index = kTVMFFIInt;
  arg->v_int64 = PyLong_AsLongLongAndOverflow(given, &overflow);
  return overflow == 0;
}

bool ReadText(PyObject* given, TVMFFIAny* arg) {
  if (!IsExactly(given, &PyUnicode_Type)) return false;
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(given, &size);  // lives in the object
  if (text == nullptr) {
    PyErr_Clear();
    return false;
  }
  if (std::strlen(text) != static_cast<size_t>(size)) return false;
  arg->type_index = kTVMFFIRawStr;
  arg->v_c_str = text;
  return true;
}

bool ReadLimit(char kind, PyObject* limit, bool* has, double* number, int64_t* whole) {
  *has = limit != Py_None;
  if (!*has) return true;
  if (kind == 'i') {
    *whole = PyLong_AsLongLong(limit);
  } else {
    *number = PyFloat_AsDouble(limit);
  }
  return PyErr_Occurred() == nullptr;
}

bool IsAllowed(const Attribute& attribute, PyObject* given, const TVMFFIAny& arg) {
  if (attribute.kind == 'f') {  // a NaN is within no limits
    if (attribute.has_low && !(arg.v_float64 >= attribute.low)) return false;
    if (attribute.has_high && !(arg.v_float64 <= attribute.high)) return false;
  } else if (attribute.kind == 'i') {
    if (attribute.has_low && arg.v_int64 < attribute.low_int) return false;
    if (attribute.has_high && arg.v_int64 > attribute.high_int) return false;
  }
  if (attribute.choices == nullptr) return true;
  const int is_there = PySequence_Contains(attribute.choices, given);
  if (is_there < 0) PyErr_Clear();
  return is_there == 1;
}

}  // namespace

bool ReadPlain(char kind, PyObject* given, TVMFFIAny* arg) {
  arg->zero_padding = 0;
  switch (kind) {
    case 'f':
      return ReadFloat(given, arg);
    case 'i':
      return ReadInt(given, arg);
    case 'b':
      arg->type_index = kTVMFFIBool;
      arg->v_int64 = given == Py_True ? 1 : 0;
      return given == Py_True || given == Py_False;
    case 's':
      return ReadText(given, arg);
    default:
      return false;
  }
}

bool ReadValue(const Attribute& attribute, PyObject* given, TVMFFIAny* arg) {
  if (given == nullptr || given == attribute.fallback) {
    *arg = attribute.value;
    return attribute.fallback != nullptr;
  }
  return ReadPlain(attribute.kind, given, arg) && IsAllowed(attribute, given, *arg);
}

bool ReadRule(char kind, PyObject* rule, Attribute* attribute) {
  PyObject *fallback, *low, *high, *choices;
  if (!PyArg_ParseTuple(rule, "OOOO", &fallback, &low, &high, &choices)) return false;
  attribute->kind = kind;
  if (!ReadLimit(kind, low, &attribute->has_low, &attribute->low, &attribute->low_int)) return false;
  if (!ReadLimit(kind, high, &attribute->has_high, &attribute->high, &attribute->high_int)) return false;
  if (fallback != Py_None && ReadPlain(kind, fallback, &attribute->value)) attribute->fallback = Py_NewRef(fallback);
  if (choices != Py_None) attribute->choices = Py_NewRef(choices);
  return true;
}

void Forget(Attribute* attribute) {
  Py_CLEAR(attribute->fallback);
  Py_CLEAR(attribute->choices);
}

}  // namespace openautoglm

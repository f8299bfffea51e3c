// The plain values of a call, checked as the operator's contract says.
#ifndef OPENAUTOGLM_PYTHON_ATTRIBUTES_H_
#define OPENAUTOGLM_PYTHON_ATTRIBUTES_H_

#include "python.h"

namespace openautoglm {

struct Attribute {
  char kind = 'f';
  PyObject* fallback = nullptr;  // owned; null where every call must give it
  PyObject* choices = nullptr;   // owned; null for any value
  TVMFFIAny value{};             // of the fallback
  bool has_low = false;
  bool has_high = false;
  double low = 0, high = 0;        // of a float
  int64_t low_int = 0, high_int = 0;  // of an int
};

// Reads (default or None, low or None, high or None, choices or None); false with an exception set.
bool ReadRule(char kind, PyObject* rule, Attribute* attribute);
void Forget(Attribute* attribute);

// Reads the value given, null for none; false, with no exception set, where Python has to look at it.
bool ReadValue(const Attribute& attribute, PyObject* given, TVMFFIAny* arg);

// The same by type alone.
bool ReadPlain(char kind, PyObject* given, TVMFFIAny* arg);

}  // namespace openautoglm

#endif  // OPENAUTOGLM_PYTHON_ATTRIBUTES_H_

// NumPy's arrays, read and made in place.
#ifndef OPENAUTOGLM_PYTHON_NDARRAY_H_
#define OPENAUTOGLM_PYTHON_NDARRAY_H_

#include "../core/extent.h"
#include "python.h"

namespace openautoglm {

// Whether it is numpy.ndarray itself, and that can be read in place.
bool IsNdarray(PyObject* value);

// Shape and strides, in elements, of one array: NumPy frees its own when another thread assigns to `shape`.
struct Layout {
  int64_t shape[kMaxRank];
  int64_t strides[kMaxRank];
};

// Describes an array, with what is kept in `layout`; false for an array that a kernel does not take as it is. A
// read-only one is for reading.
bool ViewNdarray(PyObject* array, DLTensor* view, Layout* layout);
bool IsWritable(PyObject* array);

// Returns a new contiguous array and describes it; null with an exception set, or without one where NumPy has no
// such dtype.
PyObject* NewNdarray(const Extent& extent, DLDataType dtype, DLTensor* view, Layout* layout);

}  // namespace openautoglm

#endif  // OPENAUTOGLM_PYTHON_NDARRAY_H_

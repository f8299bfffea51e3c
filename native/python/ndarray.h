// NumPy's arrays, read and made in place.
#ifndef OPENAUTOGLM_PYTHON_NDARRAY_H_
#define OPENAUTOGLM_PYTHON_NDARRAY_H_

#include "../core/extent.h"
#include "python.h"

namespace openautoglm {

// Whether it is numpy.ndarray itself, and that can be read in place.
bool IsNdarray(PyObject* value);

// Describes an array, its strides in elements kept in `strides`, which holds kMaxRank; false for an array that a
// kernel does not take as it is. A read-only one is for reading.
bool ViewNdarray(PyObject* array, DLTensor* view, int64_t* strides);
bool IsWritable(PyObject* array);

// Returns a new contiguous array and describes it; null with an exception set, or without one where NumPy has no
// such dtype.
PyObject* NewNdarray(const Extent& extent, DLDataType dtype, DLTensor* view, int64_t* strides);

}  // namespace openautoglm

#endif  // OPENAUTOGLM_PYTHON_NDARRAY_H_

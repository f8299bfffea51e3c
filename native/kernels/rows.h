// Calls that work row by row along the last dimension. Plain data: everything is borrowed for the
// call.
//
// Steps are in elements and may be negative or, for inputs, 0. A row's neighbours lie `row` apart,
// its elements `step`.
#ifndef OPENAUTOGLM_KERNELS_ROWS_H_
#define OPENAUTOGLM_KERNELS_ROWS_H_

#include <stdint.h>

namespace openautoglm::kernels {

struct RowsIn {
  const void* data;
  int64_t row;
  int64_t step;
};

struct RowsOut {
  void* data;
  int64_t row;
  int64_t step;
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_ROWS_H_

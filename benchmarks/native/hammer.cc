// Calls an operator through its native door again and again, without Python's lock, and counts what
// it gets: one result in every element, another in every element, or anything else.
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/container/tuple.h>
#include <tvm/ffi/function.h>

#include <algorithm>

namespace {

namespace ffi = tvm::ffi;

ffi::Tuple<int64_t, int64_t, int64_t> Hammer(ffi::Function door, ffi::TensorView x,
                                             ffi::TensorView y, ffi::TensorView out, int64_t calls,
                                             double first, double second) {
  int64_t firsts = 0;
  int64_t seconds = 0;
  float* begin = static_cast<float*>(out.data_ptr());
  float* end = begin + out.numel();
  for (int64_t call = 0; call < calls; ++call) {
    std::fill(begin, end, -1.0f);
    door(x, y, out);
    firsts += std::all_of(begin, end, [&](float value) { return value == first; });
    seconds += std::all_of(begin, end, [&](float value) { return value == second; });
  }
  return ffi::Tuple<int64_t, int64_t, int64_t>(firsts, seconds, calls - firsts - seconds);
}

}  // namespace

TVM_FFI_DLL_EXPORT_TYPED_FUNC(hammer, Hammer);

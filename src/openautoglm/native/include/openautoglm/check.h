// Checks of arguments. Each names the argument as it is written in the kernel, what was expected,
// and what came.
//
//   OAG_CHECK_DTYPE(x, F32, F64);      x must be f32 or f64 / got: i64
//   OAG_CHECK_RANK(x, 2);              x must have 2 dimensions / got: shape [3]
//   OAG_CHECK_CONTIGUOUS(x);
//   OAG_CHECK_SAME_SHAPE(y, x);        y must have the shape of x, [2, 3] / got: shape [3, 2]
//   OAG_CHECK_SIZE(weight, 0, n);      weight must have n = 4 in dimension 0 / got: shape [5]
//   OAG_CHECK(eps > 0, "eps must be positive", eps);
#ifndef OPENAUTOGLM_CHECK_H_
#define OPENAUTOGLM_CHECK_H_

#include <openautoglm/tensor_view.h>

#define OAG_CHECK(condition, ...)                                              \
  do {                                                                         \
    if (__builtin_expect(!(condition), 0)) ::openautoglm::Refuse(__VA_ARGS__); \
  } while (false)

#define OAG_CHECK_DTYPE(tensor, ...)                                                  \
  do {                                                                                \
    using namespace ::openautoglm::dtypes;                                            \
    ::openautoglm::CheckDtype(#tensor, tensor, ::openautoglm::DtypeSet{__VA_ARGS__}); \
  } while (false)

#define OAG_CHECK_SAME_DTYPE(tensor, other) \
  ::openautoglm::CheckSameDtype(#tensor, tensor, #other, other)
#define OAG_CHECK_RANK(tensor, count) ::openautoglm::CheckRank(#tensor, tensor, count)
#define OAG_CHECK_CONTIGUOUS(tensor) ::openautoglm::CheckContiguous(#tensor, tensor)
#define OAG_CHECK_SAME_SHAPE(tensor, other) \
  ::openautoglm::CheckSameShape(#tensor, tensor, #other, other)
#define OAG_CHECK_SIZE(tensor, dim, count) \
  ::openautoglm::CheckSize(#tensor, tensor, dim, #count, count)
#define OAG_CHECK_SAME_DEVICE(tensor, other) \
  ::openautoglm::CheckSameDevice(#tensor, tensor, #other, other)

namespace openautoglm {

inline void CheckDtype(const char* name, const TensorView& tensor, const DtypeSet& wanted) {
  if (!wanted.Has(tensor.dtype()))
    Refuse(std::string(name) + " must be " + wanted.Text(), DtypeName(tensor.dtype()));
}

inline void CheckSameDtype(const char* name, const TensorView& tensor, const char* other_name,
                           const TensorView& other) {
  if (IsDtype(tensor.dtype(), other.dtype())) return;
  Refuse(std::string(name) + " must be " + DtypeName(other.dtype()) + " as " + other_name + " is",
         DtypeName(tensor.dtype()));
}

inline void CheckRank(const char* name, const TensorView& tensor, int count) {
  if (tensor.rank() == count) return;
  Refuse(std::string(name) + " must have " + std::to_string(count) +
             (count == 1 ? " dimension" : " dimensions"),
         "shape " + tensor.shape_text());
}

inline void CheckContiguous(const char* name, const TensorView& tensor) {
  if (tensor.is_contiguous()) return;
  std::string strides;
  for (int i = 0; i < tensor.rank(); ++i)
    strides += (i != 0 ? ", " : "") + std::to_string(tensor.stride(i));
  Refuse(std::string(name) + " must be contiguous",
         "shape " + tensor.shape_text() + ", strides [" + strides + "]");
}

inline void CheckSameShape(const char* name, const TensorView& tensor, const char* other_name,
                           const TensorView& other) {
  if (tensor.same_shape(other)) return;
  Refuse(std::string(name) + " must have the shape of " + other_name + ", " + other.shape_text(),
         "shape " + tensor.shape_text());
}

inline void CheckSize(const char* name, const TensorView& tensor, int dim, const char* count_name,
                      int64_t count) {
  if (tensor.size(dim) == count) return;
  const std::string number = std::to_string(count);
  const std::string wanted =
      number == count_name ? number : std::string(count_name) + " = " + number;
  Refuse(std::string(name) + " must have " + wanted + " in dimension " + std::to_string(dim),
         "shape " + tensor.shape_text());
}

inline void CheckSameDevice(const char* name, const TensorView& tensor, const char* other_name,
                            const TensorView& other) {
  const DLDevice a = tensor.device(), b = other.device();
  if (a.device_type == b.device_type && a.device_id == b.device_id) return;
  Refuse(std::string(name) + " must be on the device of " + other_name,
         std::string(DeviceName(a.device_type)) + ":" + std::to_string(a.device_id));
}

// Calls `body` with a value of the one type among T... that `dtype` is: its type, not its value, is
// what matters.
//
//   VisitDtype<float, double>(x.dtype(), [&](auto zero) {
//     using T = decltype(zero);
//     Add(x.data<const T>(), y.data<const T>(), z.data<T>(), x.numel());
//   });
template <typename... T, typename Body>
void VisitDtype(DLDataType dtype, Body&& body) {
  const bool found = ((IsDtype(dtype, DtypeOf<T>::kValue) ? (body(T{}), true) : false) || ...);
  if (!found)
    Refuse("the kernel takes " + DtypeSet(DtypeOf<T>::kValue...).Text(), DtypeName(dtype));
}

}  // namespace openautoglm

#endif  // OPENAUTOGLM_CHECK_H_

// The types of elements, by the names every language of the framework uses.
#ifndef OPENAUTOGLM_DTYPE_H_
#define OPENAUTOGLM_DTYPE_H_

#include <dlpack/dlpack.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <type_traits>

namespace openautoglm {

namespace dtypes {
constexpr DLDataType F16{kDLFloat, 16, 1}, F32{kDLFloat, 32, 1}, F64{kDLFloat, 64, 1},
    BF16{kDLBfloat, 16, 1};
constexpr DLDataType I8{kDLInt, 8, 1}, I16{kDLInt, 16, 1}, I32{kDLInt, 32, 1}, I64{kDLInt, 64, 1};
constexpr DLDataType U8{kDLUInt, 8, 1}, U16{kDLUInt, 16, 1}, U32{kDLUInt, 32, 1},
    U64{kDLUInt, 64, 1};
constexpr DLDataType BOOL{kDLBool, 8, 1};
constexpr DLDataType F8_E4M3FN{kDLFloat8_e4m3fn, 8, 1}, F8_E5M2{kDLFloat8_e5m2, 8, 1};
}  // namespace dtypes

constexpr bool IsDtype(DLDataType a, DLDataType b) {
  return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
}

inline std::string DtypeName(DLDataType dtype) {
  if (dtype.code == kDLFloat8_e4m3fn) return "f8_e4m3fn";
  if (dtype.code == kDLFloat8_e5m2) return "f8_e5m2";
  if (dtype.code == kDLBool) return "bool";
  const char* kind = dtype.code == kDLFloat    ? "f"
                     : dtype.code == kDLBfloat ? "bf"
                     : dtype.code == kDLInt    ? "i"
                     : dtype.code == kDLUInt   ? "u"
                                               : "code ";
  const std::string lanes = dtype.lanes == 1 ? "" : "x" + std::to_string(dtype.lanes);
  return kind + (*kind == 'c' ? std::to_string(dtype.code) + " of bits " : "") +
         std::to_string(dtype.bits) + lanes;
}

// A few dtypes, known when the kernel is compiled; none means any.
class DtypeSet {
 public:
  template <typename... Dtypes>
  constexpr DtypeSet(Dtypes... dtypes)
      : items_{dtypes...}, count_(sizeof...(dtypes)) {  // NOLINT: reads as a list
    static_assert(sizeof...(dtypes) <= 16, "at most 16 dtypes");
  }

  constexpr bool Has(DLDataType dtype) const {
    for (int i = 0; i < count_; ++i) {
      if (IsDtype(items_[i], dtype)) return true;
    }
    return count_ == 0;
  }

  // `f32 or f64`.
  std::string Text() const {
    std::string text;
    for (int i = 0; i < count_; ++i) text += (i != 0 ? " or " : "") + DtypeName(items_[i]);
    return text;
  }

 private:
  DLDataType items_[16] = {};
  int count_ = 0;
};

// bfloat16 as it lies in memory; arithmetic happens in float.
struct Bfloat16 {
  uint16_t bits = 0;

  Bfloat16() = default;
  explicit Bfloat16(float value) {
    uint32_t raw;
    std::memcpy(&raw, &value, sizeof raw);
    const uint32_t rounded = (raw + 0x7FFF + ((raw >> 16) & 1)) >> 16;  // to nearest, ties to even
    bits = static_cast<uint16_t>(value == value ? rounded : (raw >> 16) | 0x40);
  }
  operator float() const {  // NOLINT: widening loses nothing
    const uint32_t raw = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &raw, sizeof value);
    return value;
  }
};

// Which dtype a C++ type is. Specialise it for types of your own, such as CUDA's __half.
template <typename T, typename = void>
struct DtypeOf;

template <typename T>
struct DtypeOf<const T> : DtypeOf<T> {};
template <typename T>
struct DtypeOf<T, std::enable_if_t<std::is_floating_point_v<T> && !std::is_const_v<T>>> {
  static constexpr DLDataType kValue{kDLFloat, sizeof(T) * 8, 1};
};
template <typename T>
struct DtypeOf<T, std::enable_if_t<std::is_integral_v<T> && !std::is_const_v<T>>> {
  static constexpr DLDataType kValue{std::is_signed_v<T> ? kDLInt : kDLUInt, sizeof(T) * 8, 1};
};
template <>
struct DtypeOf<bool> {
  static constexpr DLDataType kValue = dtypes::BOOL;
};
template <>
struct DtypeOf<Bfloat16> {
  static constexpr DLDataType kValue = dtypes::BF16;
};
#if defined(__FLT16_MANT_DIG__) && !defined(__CUDACC__)
// float16: the compiler converts and calculates, in hardware where the instruction set has it.
using Float16 = _Float16;
template <>
struct DtypeOf<Float16> {
  static constexpr DLDataType kValue = dtypes::F16;
};
#endif

}  // namespace openautoglm

#endif  // OPENAUTOGLM_DTYPE_H_

// The arguments of one call, read as the types a kernel's parameters have.
//
// Borrowed: nothing read here outlives the call.
#ifndef OPENAUTOGLM_ARGUMENTS_H_
#define OPENAUTOGLM_ARGUMENTS_H_

#include <openautoglm/tensor_view.h>

#include <string_view>
#include <vector>

namespace openautoglm {

inline const DLTensor* TensorOf(const TVMFFIAny& value) {
  if (value.type_index == kTVMFFIDLTensorPtr) return static_cast<const DLTensor*>(value.v_ptr);
  if (value.type_index == kTVMFFITensor) return TVMFFITensorGetDLTensorPtr(value.v_obj);
  return nullptr;
}

inline const char* KindOf(const TVMFFIAny& value) {
  switch (value.type_index) {
    case kTVMFFINone:
      return "None";
    case kTVMFFIInt:
      return "an int";
    case kTVMFFIBool:
      return "a bool";
    case kTVMFFIFloat:
      return "a float";
    case kTVMFFIDLTensorPtr:
    case kTVMFFITensor:
      return "a tensor";
    case kTVMFFIRawStr:
    case kTVMFFISmallStr:
    case kTVMFFIStr:
      return "a str";
    case kTVMFFIArray:
    case kTVMFFIList:
      return "a list";
    default:
      return "something else";
  }
}

class Arguments;

namespace reading {

[[noreturn, gnu::cold, gnu::noinline]] inline void Mismatch(int position, const char* wanted,
                                                            const TVMFFIAny& value) {
  Refuse("argument " + std::to_string(position + 1) + " must be " + wanted, KindOf(value));
}

inline bool IsList(const TVMFFIAny& value) {
  return value.type_index == kTVMFFIArray || value.type_index == kTVMFFIList;
}

inline const TVMFFISeqCell& ListOf(const TVMFFIAny& value) {
  return *reinterpret_cast<const TVMFFISeqCell*>(reinterpret_cast<const char*>(value.v_obj) +
                                                 sizeof(TVMFFIObject));
}

// One specialisation for each type a parameter may have. A type that can be made from `const
// DLTensor*` is a tensor.
template <typename T, typename = void>
struct Reader;

template <typename T>
constexpr bool kIsTensor = std::is_constructible_v<T, const DLTensor*> &&
                           !std::is_constructible_v<T, std::nullopt_t> && !std::is_arithmetic_v<T>;

template <typename T>
struct Reader<T, std::enable_if_t<kIsTensor<T>>> {
  static T Read(const TVMFFIAny& value, int position) {
    const DLTensor* tensor = TensorOf(value);
    if constexpr (std::is_pointer_v<T>) {
      if (value.type_index == kTVMFFINone) return nullptr;
    }
    if (tensor == nullptr) Mismatch(position, "a tensor", value);
    return T(tensor);
  }
};

template <template <typename...> class Maybe, typename T, typename... Rest>
struct Reader<
    Maybe<T, Rest...>,
    std::enable_if_t<kIsTensor<T> && std::is_constructible_v<Maybe<T, Rest...>, std::nullopt_t>>> {
  static Maybe<T, Rest...> Read(const TVMFFIAny& value, int position) {
    if (value.type_index == kTVMFFINone) return std::nullopt;
    return Reader<T>::Read(value, position);
  }
};

template <>
struct Reader<std::vector<TensorView>> {
  static std::vector<TensorView> Read(const TVMFFIAny& value, int position) {
    if (!IsList(value)) Mismatch(position, "a list of tensors", value);
    const TVMFFISeqCell& list = ListOf(value);
    std::vector<TensorView> tensors;
    for (int64_t i = 0; i < list.size; ++i) {
      const TVMFFIAny& item = static_cast<const TVMFFIAny*>(list.data)[i];
      if (TensorOf(item) == nullptr) Mismatch(position, "a list of tensors", item);
      tensors.emplace_back(TensorOf(item));
    }
    return tensors;
  }
};

template <>
struct Reader<bool> {
  static bool Read(const TVMFFIAny& value, int position) {
    if (value.type_index != kTVMFFIBool && value.type_index != kTVMFFIInt)
      Mismatch(position, "a bool", value);
    return value.v_int64 != 0;
  }
};

template <typename T>
struct Reader<T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>> {
  static T Read(const TVMFFIAny& value, int position) {
    if (value.type_index != kTVMFFIInt && value.type_index != kTVMFFIBool)
      Mismatch(position, "an int", value);
    const T number = static_cast<T>(value.v_int64);
    if (static_cast<int64_t>(number) != value.v_int64 || (number < 0) != (value.v_int64 < 0)) {
      Refuse("argument " + std::to_string(position + 1) + " does not fit " +
                 std::to_string(sizeof(T) * 8) + " bits",
             value.v_int64);
    }
    return number;
  }
};

template <typename T>
struct Reader<T, std::enable_if_t<std::is_floating_point_v<T>>> {
  static T Read(const TVMFFIAny& value, int position) {
    if (value.type_index == kTVMFFIFloat) return static_cast<T>(value.v_float64);
    if (value.type_index == kTVMFFIInt || value.type_index == kTVMFFIBool)
      return static_cast<T>(value.v_int64);
    Mismatch(position, "a float", value);
  }
};

template <>
struct Reader<std::string_view> {
  static std::string_view Read(const TVMFFIAny& value, int position) {
    if (value.type_index == kTVMFFIRawStr) return value.v_c_str;
    if (value.type_index == kTVMFFISmallStr) return {value.v_bytes, value.small_str_len};
    if (value.type_index != kTVMFFIStr) Mismatch(position, "a str", value);
    const auto* text = reinterpret_cast<const TVMFFIByteArray*>(
        reinterpret_cast<const char*>(value.v_obj) + sizeof(TVMFFIObject));
    return {text->data, text->size};
  }
};

template <>
struct Reader<std::string> {
  static std::string Read(const TVMFFIAny& value, int position) {
    return std::string(Reader<std::string_view>::Read(value, position));
  }
};

}  // namespace reading

// The arguments in the order of the call: inputs, attributes, outputs.
class Arguments {
 public:
  Arguments(const TVMFFIAny* args, int32_t count) : args_(args), count_(count) {}

  int count() const { return count_; }
  const TVMFFIAny& raw(int position) const { return args_[position]; }  // unchecked

  // Reads an argument as T: TensorView, Optional<TensorView>, std::vector<TensorView>, a number,
  // bool or std::string.
  template <typename T>
  T get(int position) const {
    if (position < 0 || position >= count_) {
      Refuse("an argument " + std::to_string(position + 1) + " is needed",
             std::to_string(count_) + " arguments");
    }
    return reading::Reader<T>::Read(args_[position], position);
  }

  TensorView tensor(int position) const { return get<TensorView>(position); }

 private:
  const TVMFFIAny* args_;
  int32_t count_;
};

}  // namespace openautoglm

#endif  // OPENAUTOGLM_ARGUMENTS_H_

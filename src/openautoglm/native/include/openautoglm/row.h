// Rows of the manifest that depend on a kernel's type, put together while compiling.
#ifndef OPENAUTOGLM_ROW_H_
#define OPENAUTOGLM_ROW_H_

#include <cstddef>
#include <type_traits>

namespace openautoglm {

// A row as it lies in the library: text, then zeros. An empty row says nothing.
template <size_t kSize>
struct Row {
  char text[kSize] = {};

  // Appends; a row that does not fit is an error while compiling.
  constexpr size_t Append(size_t end, const char* more) {
    for (; *more != 0; ++more) text[end++] = *more;
    return end;
  }
  constexpr size_t Append(size_t end, int number) {
    char digits[12] = {};
    int i = 11;
    for (int rest = number < 0 ? -number : number; i == 11 || rest != 0; rest /= 10)
      digits[--i] = static_cast<char>('0' + rest % 10);
    if (number < 0) digits[--i] = '-';
    return Append(end, digits + i);
  }
};

constexpr size_t kRowSize = 512;
using KernelRow = Row<kRowSize>;

constexpr size_t TextLength(const char* text) {
  size_t length = 0;
  while (text[length] != 0) ++length;
  return length;
}

namespace traits {

#define OAG_CONSTANT_(Name, kConstant, type, fallback)  \
  template <typename T, typename = void>                \
  struct Name {                                         \
    static constexpr type kValue = fallback;            \
  };                                                    \
  template <typename T>                                 \
  struct Name<T, std::void_t<decltype(T::kConstant)>> { \
    static constexpr type kValue = T::kConstant;        \
  };

OAG_CONSTANT_(Priority, kPriority, int, 0)
OAG_CONSTANT_(Contiguous, kContiguous, bool, false)
OAG_CONSTANT_(MinSm, kMinSm, int, 0)  // CUDA: 80 is compute capability 8.0
OAG_CONSTANT_(Schema, kSchema, const char*, nullptr)
#undef OAG_CONSTANT_

template <typename K, typename = void>
struct HasBackward : std::false_type {};
template <typename K>
struct HasBackward<K, std::void_t<decltype(&K::backward)>> : std::true_type {};

}  // namespace traits

struct KernelText {
  const char* op;
  const char* suffix;  // of the operator's name: "" or "_backward"
  const char* symbol;
  const char* device;
  const char* dtypes;
  const char* isa;
};

template <typename Kernel>
constexpr KernelRow MakeKernelRow(const KernelText& text,
                                  int priority = traits::Priority<Kernel>::kValue) {
  KernelRow row;
  size_t end = row.Append(0, "kernel\t");
  end = row.Append(row.Append(end, text.op), text.suffix);
  end = row.Append(row.Append(end, "\t"), text.symbol);
  end = row.Append(row.Append(end, "\t"), text.device);
  end = row.Append(row.Append(end, "\t"), text.dtypes);
  end = row.Append(row.Append(end, "\t"), text.isa);
  if (traits::MinSm<Kernel>::kValue != 0)
    end = row.Append(row.Append(end, "sm_"), traits::MinSm<Kernel>::kValue);
  end = row.Append(row.Append(end, "\t"), priority);
  row.Append(end, traits::Contiguous<Kernel>::kValue ? "\tcontiguous" : "\t");
  return row;
}

template <size_t kSize>
constexpr Row<kSize> MakeOperatorRow(const char* name, const char* schema) {
  Row<kSize> row;
  if (schema == nullptr) return row;
  size_t end = row.Append(row.Append(0, "op\t"), name);
  row.Append(row.Append(end, "\t"), schema);
  return row;
}

constexpr size_t OperatorRowSize(const char* name, const char* schema) {
  return schema == nullptr ? 1 : TextLength(name) + TextLength(schema) + 5;
}

}  // namespace openautoglm

#endif  // OPENAUTOGLM_ROW_H_

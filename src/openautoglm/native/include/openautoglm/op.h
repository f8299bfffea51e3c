// Operators and kernels in C++: write a function, register it, build the folder with `oag op
// build`.
//
//   #include <openautoglm/op.h>
//   using namespace openautoglm;
//
//   REGISTER_OPERATOR(scale, "scale(Tensor x, float factor=2.0) -> Tensor");
//
//   template <typename Device> struct ScaleKernel;
//   template <> struct ScaleKernel<CPU> {
//     static void forward(TensorView x, double factor, TensorView out) { ... }
//     static void backward(TensorView grad, double factor, TensorView grad_x) { ... }  // optional
//   };
//   REGISTER_KERNEL(scale, ScaleKernel<CPU>, CPU, F32, F64);
//
// Parameters are the inputs, the attributes, then the outputs, which the caller allocated.
// The macros export symbols and text. Nothing runs when the library is loaded, so it can be read,
// replaced and unloaded. A kernel is stateless: any thread may call it at any time, several at
// once, without Python's lock.
#ifndef OPENAUTOGLM_OP_H_
#define OPENAUTOGLM_OP_H_

#include <openautoglm/abi.h>
#include <openautoglm/arguments.h>
#include <openautoglm/check.h>
#include <openautoglm/device.h>
#include <openautoglm/operator.h>
#include <openautoglm/row.h>

// The contract of an operator; its kernels may lie in other files, in other languages too:
//   REGISTER_OPERATOR(name, "name(Tensor x, float scale=1.0) -> Tensor")
// The same by a constexpr function that returns OpProto, and a function that returns a new Operator
// (the caller owns it), which serves where no registered kernel does:
//   REGISTER_OPERATOR(Name, ProtoAndCheckerGetter, Creator)
#define REGISTER_OPERATOR(...) \
  OAG_PICK_3_(__VA_ARGS__, OAG_OPERATOR_3_, OAG_OPERATOR_2_, )(__VA_ARGS__)

// A type with a static `forward`, and a static `backward` where it has one: that becomes a kernel
// of the operator `<name>_backward`. The dtypes are those of the first input; none means all that
// the operator takes. A type with a comma in it needs a `using` first.
//   REGISTER_KERNEL(name, Kernel<CPU>, CPU, F32, F64)
// Constants of the type go into the manifest:
//   static constexpr int kPriority = 10;       // default 0; of those that take a call the highest
//   static constexpr bool kContiguous = true;  // the caller makes inputs contiguous first
//   static constexpr int kMinSm = 80;          // CUDA: the least compute capability
#define REGISTER_KERNEL(op, ...) OAG_KERNEL_(op, __VA_ARGS__, )

// A subclass of Operator, made anew for each call.
#define REGISTER_OP(name, ...) OAG_OP_(name, OAG_KERNEL_ID(name, OP), __VA_ARGS__)

#define OAG_PICK_3_(a, b, c, pick, ...) pick
#define OAG_OPERATOR_2_(name, schema) \
  OAG_TEXT_ROW(OAG_ROW_SYMBOL(op, name), "op\t" #name "\t" schema)

#define OAG_OPERATOR_3_(name, getter, creator) \
  OAG_OPERATOR_3_AS_(name, OAG_KERNEL_ID(name, OP), getter, creator)
#define OAG_OPERATOR_3_AS_(name, id, getter, creator)                               \
  namespace {                                                                       \
  struct OAG_JOIN2(OagCreated, id) {                                                \
    using Made = ::openautoglm::Created<decltype(creator())>;                       \
    static constexpr int kPriority = ::openautoglm::kCreatedPriority;               \
    static constexpr bool kHasBackward = Made::kHasBackward;                        \
    static constexpr const char* kSchema = ::openautoglm::OpProto(getter()).schema; \
    using Device = typename Made::Device;                                           \
    static void forward(const ::openautoglm::Arguments& arguments) {                \
      const ::openautoglm::OpProto proto(getter());                                 \
      if (proto.check != nullptr) proto.check(arguments);                           \
      Made::Own(creator(), arguments)->forward();                                   \
    }                                                                               \
    static void backward(const ::openautoglm::Arguments& arguments) {               \
      Made::Own(creator(), arguments)->backward();                                  \
    }                                                                               \
  };                                                                                \
  }                                                                                 \
  OAG_CLASS_(name, id, OAG_JOIN2(OagCreated, id))

#define OAG_OP_(name, id, ...) OAG_CLASS_(name, id, ::openautoglm::ClassKernel<__VA_ARGS__>)

// Exports the operator's row, where the class has a schema, and its two functions.
#define OAG_CLASS_(name, id, ...)                                           \
  OAG_ROW_(OAG_ROW_SYMBOL(class, id),                                       \
           ::openautoglm::MakeOperatorRow<::openautoglm::OperatorRowSize(   \
               #name, ::openautoglm::traits::Schema<__VA_ARGS__>::kValue)>( \
               #name, ::openautoglm::traits::Schema<__VA_ARGS__>::kValue)); \
  OAG_EXPORT_(id, name, __VA_ARGS__::Device, "", __VA_ARGS__, )

#define OAG_KERNEL_(op, type, device, ...) \
  OAG_EXPORT_(OAG_KERNEL_ID(op, device), op, ::openautoglm::device, #__VA_ARGS__, type, __VA_ARGS__)
#define OAG_EXPORT_(id, op, device, text, type, ...)                                        \
  OAG_EXPORT_AS_(OAG_KERNEL_SYMBOL(id), OAG_KERNEL_SYMBOL(OAG_JOIN2(id, backward)), id, op, \
                 device, text, type, __VA_ARGS__)

#define OAG_ROW_(symbol, ...)                           \
  extern "C" {                                          \
  extern OAG_EXPORT const decltype(__VA_ARGS__) symbol; \
  constexpr decltype(__VA_ARGS__) symbol = __VA_ARGS__; \
  }                                                     \
  struct OAG_JOIN2(symbol, semicolon)

#define OAG_EXPORT_AS_(forward_symbol, backward_symbol, id, op, device, text, type, ...)      \
  OAG_ROW_(OAG_ROW_SYMBOL(kernel, id),                                                        \
           ::openautoglm::MakeKernelRow<type>(                                                \
               {#op, "", OAG_TEXT(forward_symbol), device::kName, text, OAG_ISA}));           \
  OAG_ROW_(OAG_ROW_SYMBOL(backward, id),                                                      \
           ::openautoglm::MakeBackwardRow<type>(                                              \
               {#op, "_backward", OAG_TEXT(backward_symbol), device::kName, text, OAG_ISA})); \
  extern "C" OAG_EXPORT int forward_symbol(void*, const TVMFFIAny* args, int32_t count,       \
                                           TVMFFIAny*) {                                      \
    using namespace ::openautoglm::dtypes;                                                    \
    static constexpr ::openautoglm::DtypeSet kDtypes{__VA_ARGS__};                            \
    return ::openautoglm::Enter<device>(                                                      \
        #op, kDtypes, {args, count},                                                          \
        [](const ::openautoglm::Arguments& a) { ::openautoglm::CallForward<type>(a); });      \
  }                                                                                           \
  extern "C" OAG_EXPORT int backward_symbol(void*, const TVMFFIAny* args, int32_t count,      \
                                            TVMFFIAny*) {                                     \
    using namespace ::openautoglm::dtypes;                                                    \
    static constexpr ::openautoglm::DtypeSet kDtypes{__VA_ARGS__};                            \
    return ::openautoglm::Enter<device>(                                                      \
        #op "_backward", kDtypes, {args, count},                                              \
        [](const ::openautoglm::Arguments& a) { ::openautoglm::CallBackward<type>(a); });     \
  }                                                                                           \
  struct OAG_JOIN2(forward_symbol, semicolon)

#include <openautoglm/enter.h>

#endif  // OPENAUTOGLM_OP_H_

// What an exported function does around a kernel: check where and what the tensors are, call, turn
// errors into text.
#ifndef OPENAUTOGLM_ENTER_H_
#define OPENAUTOGLM_ENTER_H_

#include <openautoglm/arguments.h>
#include <openautoglm/device.h>
#include <openautoglm/operator.h>
#include <openautoglm/row.h>

namespace openautoglm {

constexpr int kCreatedPriority = -50;  // above the reference, below every kernel

// Returns the first tensor's device number. Every tensor must be on the kernel's kind of device,
// the first of its dtypes.
template <typename Device>
int CheckTensors(const DtypeSet& dtypes, const Arguments& arguments) {
  const DLTensor* first = nullptr;
  for (int i = 0; i < arguments.count(); ++i) {
    const DLTensor* tensor = TensorOf(arguments.raw(i));
    if (tensor == nullptr) continue;
    if (tensor->device.device_type != Device::kType) {
      Refuse("argument " + std::to_string(i + 1) + " must be on " + DeviceName(Device::kType),
             DeviceName(tensor->device.device_type));
    }
    if (first == nullptr) {
      first = tensor;
      if (!dtypes.Has(tensor->dtype)) {
        Refuse("argument " + std::to_string(i + 1) + " must be " + dtypes.Text(),
               DtypeName(tensor->dtype));
      }
    } else if (tensor->device.device_id != first->device.device_id) {
      Refuse("all tensors must be on one device", std::to_string(first->device.device_id) +
                                                      " and " +
                                                      std::to_string(tensor->device.device_id));
    }
  }
  return first == nullptr ? 0 : first->device.device_id;
}

inline int SetError(const char* kind, const char* op, const char* text) noexcept {
  try {
    return oag_set_error(kind, (std::string(op) + ": " + text).c_str());
  } catch (...) {
    return oag_set_error(kind, text);  // no memory to put them together
  }
}

template <typename Device, typename Body>
int Enter(const char* op, const DtypeSet& dtypes, const Arguments& arguments, Body body) noexcept {
  try {
    DeviceScope<Device> scope(CheckTensors<Device>(dtypes, arguments));
    body(arguments);
    scope.Finish();
    return 0;
  } catch (const Refusal& refusal) {
    return SetError(refusal.kind(), op, refusal.what());
  } catch (const std::exception& error) {
    return SetError(kKernelError, op, error.what());
  } catch (...) {
    return SetError(kKernelError, op, "the kernel threw something that is no std::exception");
  }
}

template <typename... Parameters, size_t... kPositions>
void CallTyped(void (*function)(Parameters...), const Arguments& arguments,
               std::index_sequence<kPositions...>) {
  if (arguments.count() != static_cast<int>(sizeof...(Parameters))) {
    Refuse("the kernel takes " + std::to_string(sizeof...(Parameters)) +
               " arguments, outputs included",
           std::to_string(arguments.count()) + " arguments");
  }
  function(
      reading::Reader<std::decay_t<Parameters>>::Read(arguments.raw(kPositions), kPositions)...);
}

template <typename... Parameters>
void CallTyped(void (*function)(Parameters...), const Arguments& arguments) {
  CallTyped(function, arguments, std::index_sequence_for<Parameters...>{});
}

// A kernel may also take the call as it is, and sort out the arguments itself.
inline void CallTyped(void (*function)(const Arguments&), const Arguments& arguments) {
  function(arguments);
}

template <typename Kernel>
void CallForward(const Arguments& arguments) {
  CallTyped(&Kernel::forward, arguments);
}

template <typename Kernel, typename = void>
struct OffersBackward : traits::HasBackward<Kernel> {};
template <typename Kernel>
struct OffersBackward<Kernel, std::enable_if_t<!Kernel::kHasBackward>> : std::false_type {};

template <typename Kernel>
void CallBackward(const Arguments& arguments) {
  if constexpr (OffersBackward<Kernel>::value) {
    CallTyped(&Kernel::backward, arguments);
  } else {
    (void)arguments;
    Fail("the kernel has no backward");  // in no row of the manifest, so nobody calls it
  }
}

template <typename Kernel>
constexpr KernelRow MakeBackwardRow(const KernelText& text) {
  if constexpr (OffersBackward<Kernel>::value) {
    return MakeKernelRow<Kernel>(text);
  } else {
    return (void)text, KernelRow{};
  }
}

// A subclass of Operator as a kernel: one object for each call, on the stack.
template <typename Class>
struct ClassKernel {
  static_assert(std::is_base_of_v<Operator, Class>,
                "REGISTER_OP takes a subclass of openautoglm::Operator");
  using Device = typename Class::Device;
  static constexpr bool kHasBackward = Class::kHasBackward;
  static constexpr int kPriority = traits::Priority<Class>::kValue;
  static constexpr bool kContiguous = traits::Contiguous<Class>::kValue;
  static constexpr const char* kSchema = traits::Schema<Class>::kValue;

  static void forward(const Arguments& arguments) {
    Class made;
    made.Bind(arguments);
    made.forward();
  }
  static void backward(const Arguments& arguments) {
    Class made;
    made.Bind(arguments);
    made.backward();
  }
};

// What a creator returns: a pointer to a new object, or a std::unique_ptr.
template <typename Pointer>
struct Created {
  using Class = std::remove_reference_t<decltype(*std::declval<Pointer>())>;
  using Device = typename Class::Device;
  static constexpr bool kHasBackward = Class::kHasBackward;

  static std::unique_ptr<Operator> Own(Pointer made, const Arguments& arguments) {
    std::unique_ptr<Operator> owned(std::move(made));
    if (owned == nullptr) Fail("the creator made no operator");
    owned->Bind(arguments);
    return owned;
  }
};

}  // namespace openautoglm

#endif  // OPENAUTOGLM_ENTER_H_

// The class form of an operator: an object made for one call, with virtual forward and backward.
#ifndef OPENAUTOGLM_OPERATOR_H_
#define OPENAUTOGLM_OPERATOR_H_

#include <openautoglm/arguments.h>
#include <openautoglm/device.h>

#include <memory>

namespace openautoglm {

// Lives for one call of `forward` or of `backward` and is used by one thread.
//
// `forward` finds inputs, attributes and outputs in `arguments()`, in this order; `backward` those
// of the operator `<name>_backward`. Constants of a subclass go into the manifest:
//   using Device = CUDA;                  // default CPU
//   static constexpr int kPriority = 10;  // default 0; of those that take a call the highest
//   static constexpr const char* kSchema = "add(Tensor x, Tensor y) -> Tensor";
class Operator {
 public:
  using Device = CPU;
  static constexpr bool kHasBackward = true;

  virtual ~Operator() = default;
  virtual void forward() = 0;
  virtual void backward() = 0;

  void Bind(const Arguments& arguments) { arguments_ = arguments; }

 protected:
  const Arguments& arguments() const { return arguments_; }
  TensorView tensor(int position) const { return arguments_.tensor(position); }
  template <typename T>
  T argument(int position) const {
    return arguments_.get<T>(position);
  }

 private:
  Arguments arguments_{nullptr, 0};
};

// An operator without a gradient of its own.
class ForwardOperator : public Operator {
 public:
  static constexpr bool kHasBackward = false;
  void backward() final { Fail("the operator has no gradient"); }
};

// What `REGISTER_OPERATOR(Name, ProtoAndCheckerGetter, Creator)` gets: the contract, and a check
// made before the created operator runs. A constant, so that the contract can be read without
// running anything.
struct OpProto {
  const char* schema;
  void (*check)(const Arguments& arguments) = nullptr;

  constexpr OpProto(const char* the_schema,
                    void (*the_check)(const Arguments&) = nullptr)  // NOLINT: a text is enough
      : schema(the_schema), check(the_check) {}
};

}  // namespace openautoglm

#endif  // OPENAUTOGLM_OPERATOR_H_

// Walks over several strided tensors at once.
//
// Built by the plain C++ compiler only, so the standard library is welcome here; the inner loops it
// calls are not.
#ifndef OPENAUTOGLM_KERNELS_AXES_H_
#define OPENAUTOGLM_KERNELS_AXES_H_

#include <openautoglm/op.h>

#include <array>

#include "by_dtype.h"
#include "rows.h"

namespace openautoglm::kernels {

constexpr int kMaxRank = 64;  // as many dimensions as NumPy and torch have

template <int kTensors>
struct Axis {
  int64_t size = 1;
  std::array<int64_t, kTensors> step{};  // in elements, one for each tensor
};

// The dimensions of a walk, outermost first. Neighbours that lie one behind the other in every
// tensor become one.
template <int kTensors>
class Axes {
 public:
  using Offsets = std::array<int64_t, kTensors>;

  void Append(const Axis<kTensors>& axis) {
    if (axis.size == 0) empty_ = true;
    if (axis.size == 1) return;
    if (count_ > 0 && Continues(axes_[count_ - 1], axis)) {
      axes_[count_ - 1].size *= axis.size;
      axes_[count_ - 1].step = axis.step;
    } else {
      axes_[count_++] = axis;
    }
  }

  // Calls body(offsets, innermost axis) until everything was visited; offsets are in elements.
  template <class Body>
  void Walk(Body body) const {
    if (empty_) return;
    Offsets offsets{};
    if (count_ == 0) {
      Axis<kTensors> one;
      one.step.fill(1);
      body(offsets, one);
    } else {
      Walk(0, offsets, body);
    }
  }

 private:
  static bool Continues(const Axis<kTensors>& outer, const Axis<kTensors>& inner) {
    for (int k = 0; k < kTensors; ++k) {
      if (outer.step[k] != inner.step[k] * inner.size) return false;
    }
    return true;
  }

  template <class Body>
  void Walk(int depth, Offsets offsets, Body& body) const {
    const Axis<kTensors>& axis = axes_[depth];
    if (depth == count_ - 1) return body(offsets, axis);
    for (int64_t i = 0; i < axis.size; ++i) {
      Walk(depth + 1, offsets, body);
      for (int k = 0; k < kTensors; ++k) offsets[k] += axis.step[k];
    }
  }

  std::array<Axis<kTensors>, kMaxRank> axes_;
  int count_ = 0;
  bool empty_ = false;
};

inline int64_t ElementBytes(const TensorView& tensor) { return tensor.dtype().bits / 8; }

inline void* At(const TensorView& tensor, int64_t offset) {
  return static_cast<char*>(tensor.bytes()) + offset * ElementBytes(tensor);
}

// The step of `tensor` along dimension `dim` of an output with `rank` dimensions, 0 where it is
// broadcast.
inline int64_t BroadcastStep(const char* name, const TensorView& tensor, const TensorView& out,
                             int dim) {
  const int own = dim - (out.rank() - tensor.rank());
  if (own < 0) return 0;
  if (tensor.size(own) == out.size(dim)) return tensor.stride(own);
  if (tensor.size(own) != 1) {
    Refuse(std::string(name) + " must broadcast to shape " + out.shape_text(),
           "shape " + tensor.shape_text());
  }
  return 0;
}

// The distance between neighbours in the last dimension; 1 where there are no neighbours.
inline int64_t LastStep(const TensorView& tensor) {
  return tensor.size(-1) <= 1 ? 1 : tensor.stride(-1);
}

// The leading dimensions of tensors of one shape [..., n].
template <class... Tensors>
Axes<sizeof...(Tensors)> LeadingAxes(const TensorView& first, const Tensors&... tensors) {
  Axes<sizeof...(Tensors)> axes;
  for (int dim = 0; dim + 1 < first.rank(); ++dim)
    axes.Append({first.size(dim), {tensors.stride(dim)...}});
  return axes;
}

template <class Call>
void Run(const ByDtype<Call>& table, DLDataType dtype, const Call& call) {
  if (dtype.bits == 64) return table.f64(call);
  if (dtype.bits == 32) return table.f32(call);
  dtype.code == kDLBfloat ? table.bf16(call) : table.f16(call);
}

// Ours stand behind any kernel that a plugin registers without a priority, and before the
// reference.
constexpr int kPlainPriority = -30;
constexpr int kV3Priority = -20;
constexpr int kV4Priority = -10;

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_AXES_H_

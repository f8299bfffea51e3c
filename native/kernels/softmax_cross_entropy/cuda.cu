// A warp takes one row of logits at a time, a block takes a long one. A target that is no class gives
// NaN.
#include "../cuda.h"

namespace openautoglm::kernels {
namespace softmax_cross_entropy {

template <class T>
struct Operands {
  const T* grad;  // null in forward
  const T* logits;
  const int64_t* target;
  T* out;  // forward: losses; backward: grad_logits
  int64_t grad_row;
  int64_t row;
  int64_t step;
  int64_t target_row;
  int64_t out_row;
  int64_t out_step;
  int64_t rows;
  int64_t classes;
  int64_t ignore_index;
};

template <class C>
struct Softmax {
  C largest;
  C sum;
};

// exp(from - to), where equal infinities are equally far away.
template <class C>
__device__ C Shift(C from, C to) {
  return from == to ? C(1) : exp(from - to);
}

template <class C>
__device__ void Take(const C* values, int count, Softmax<C>* so_far) {
  C largest = so_far->largest;
#pragma unroll
  for (int k = 0; k < count; ++k) largest = Most<C>()(largest, values[k]);
  C sum = so_far->sum * Shift(so_far->largest, largest);
#pragma unroll
  for (int k = 0; k < count; ++k) sum += Shift(values[k], largest);
  *so_far = {largest, sum};
}

// One pass over a row by the threads of `Group`; every one gets the result.
template <class Group, bool kPacked, class T>
__device__ Softmax<Compute<T>> Over(const T* row, const Operands<T>& o) {
  using C = Compute<T>;
  using P = Pack<T>;
  Softmax<C> mine{Most<C>::Start(), C(0)};
  if (kPacked) {
#pragma unroll 4
    for (int64_t i = Group::Lane(); i < o.classes / P::kCount; i += Group::kWidth) {
      const P pack = reinterpret_cast<const P*>(row)[i];
      C values[P::kCount];
#pragma unroll
      for (int k = 0; k < P::kCount; ++k) values[k] = Wide(pack.items[k]);
      Take(values, P::kCount, &mine);
    }
  } else {
    for (int64_t i = Group::Lane(); i < o.classes; i += Group::kWidth) {
      const C value = Wide(row[i * o.step]);
      Take(&value, 1, &mine);
    }
  }
  const C largest = Group::template Over<Most<C>>(mine.largest);
  const C sum = Group::template Over<Sum<C>>(mine.sum * Shift(mine.largest, largest));
  return {largest, largest == static_cast<C>(INFINITY) ? static_cast<C>(NAN) : sum};
}

template <class Group, bool kPacked, class T>
__global__ void Forward(Operands<T> o) {
  using C = Compute<T>;
  for (int64_t r = Group::Row(); r < o.rows; r += Group::Rows()) {
    const int64_t target = o.target[r * o.target_row];
    const T* row = o.logits + r * o.row;
    C loss = target == o.ignore_index ? C(0) : C(NAN);
    if (target != o.ignore_index && target >= 0 && target < o.classes) {
      const Softmax<C> softmax = Over<Group, kPacked>(row, o);
      loss = log(softmax.sum) - (Wide(row[target * o.step]) - softmax.largest);
    }
    if (Group::Lane() == 0) o.out[r * o.out_row] = Narrow<T>(loss);
  }
}

template <class Group, bool kPacked, class T>
__global__ void Backward(Operands<T> o) {
  using C = Compute<T>;
  for (int64_t r = Group::Row(); r < o.rows; r += Group::Rows()) {
    const int64_t target = o.target[r * o.target_row];
    const T* row = o.logits + r * o.row;
    T* out = o.out + r * o.out_row;
    if (target == o.ignore_index || target < 0 || target >= o.classes) {
      const C value = target == o.ignore_index ? C(0) : C(NAN);
      for (int64_t i = Group::Lane(); i < o.classes; i += Group::kWidth)
        out[i * o.out_step] = Narrow<T>(value);
      continue;
    }
    const Softmax<C> softmax = Over<Group, kPacked>(row, o);
    const C grad = Wide(o.grad[r * o.grad_row]);
    for (int64_t i = Group::Lane(); i < o.classes; i += Group::kWidth) {
      const C probability = exp(Wide(row[i * o.step]) - softmax.largest) / softmax.sum;
      out[i * o.out_step] = Narrow<T>((i == target ? probability - C(1) : probability) * grad);
    }
  }
}

constexpr int64_t kWarpClasses = 4096;  // a longer row is worth a block

// Runs the variant that fits the rows.
template <template <class, bool> class Kernel, class T>
void Launch(const Operands<T>& o, cudaStream_t stream) {
  const bool packed = o.step == 1 && IsAligned(o.logits) && o.row % Pack<T>::kCount == 0 &&
                      o.classes % Pack<T>::kCount == 0;
  if (o.classes > kWarpClasses) {
    packed ? Kernel<BlockRow, true>::Run(o, stream) : Kernel<BlockRow, false>::Run(o, stream);
  } else {
    packed ? Kernel<WarpRow, true>::Run(o, stream) : Kernel<WarpRow, false>::Run(o, stream);
  }
}

template <class Group, bool kPacked>
struct RunForward {
  template <class T>
  static void Run(const Operands<T>& o, cudaStream_t stream) {
    Forward<Group, kPacked><<<Blocks(o.rows, Group::kPerBlock), kThreads, 0, stream>>>(o);
  }
};

template <class Group, bool kPacked>
struct RunBackward {
  template <class T>
  static void Run(const Operands<T>& o, cudaStream_t stream) {
    Backward<Group, kPacked><<<Blocks(o.rows, Group::kPerBlock), kThreads, 0, stream>>>(o);
  }
};

inline void Check(const TensorView& logits, const TensorView& target) {
  OAG_CHECK_RANK(logits, 2);
  OAG_CHECK_RANK(target, 1);
  OAG_CHECK_SIZE(target, 0, logits.size(0));
  OAG_CHECK_DTYPE(target, I64);
}

template <class T>
Operands<T> Read(const TensorView& logits, const TensorView& target, int64_t ignore_index,
                 const TensorView& out) {
  Operands<T> o{};
  o.logits = static_cast<const T*>(logits.bytes());
  o.row = logits.stride(0);
  o.step = logits.stride(1);
  o.target = static_cast<const int64_t*>(target.bytes());
  o.target_row = target.stride(0);
  o.out = static_cast<T*>(out.bytes());
  o.out_row = out.stride(0);
  o.out_step = out.rank() > 1 ? out.stride(1) : 1;
  o.rows = logits.size(0);
  o.classes = logits.size(1);
  o.ignore_index = ignore_index;
  return o;
}

struct ForwardKernel {
  static constexpr int kPriority = kCudaPriority;
  static constexpr int kMinSm = 80;

  static void forward(TensorView logits, TensorView target, int64_t ignore_index, TensorView loss) {
    Check(logits, target);
    OAG_CHECK_SAME_SHAPE(loss, target);
    OAG_CHECK_SAME_DTYPE(loss, logits);
    if (logits.size(0) == 0) return;
    const cudaStream_t stream = CurrentStream(logits.device());
    VisitFloat(logits.dtype(), [&](auto zero) {
      using T = decltype(zero);
      Launch<RunForward>(Read<T>(logits, target, ignore_index, loss), stream);
    });
    CheckCuda(cudaGetLastError());
  }
};

struct BackwardKernel {
  static constexpr int kPriority = kCudaPriority;
  static constexpr int kMinSm = 80;

  static void forward(TensorView grad, TensorView logits, TensorView target, int64_t ignore_index,
                      TensorView grad_logits) {
    Check(logits, target);
    OAG_CHECK_SAME_SHAPE(grad, target);
    OAG_CHECK_SAME_DTYPE(grad, logits);
    OAG_CHECK_SAME_SHAPE(grad_logits, logits);
    OAG_CHECK_SAME_DTYPE(grad_logits, logits);
    if (logits.numel() == 0) return;
    const cudaStream_t stream = CurrentStream(logits.device());
    VisitFloat(logits.dtype(), [&](auto zero) {
      using T = decltype(zero);
      Operands<T> o = Read<T>(logits, target, ignore_index, grad_logits);
      o.grad = static_cast<const T*>(grad.bytes());
      o.grad_row = grad.stride(0);
      Launch<RunBackward>(o, stream);
    });
    CheckCuda(cudaGetLastError());
  }
};

}  // namespace softmax_cross_entropy

REGISTER_KERNEL(softmax_cross_entropy, softmax_cross_entropy::ForwardKernel, CUDA, F16, BF16, F32,
                F64);
REGISTER_KERNEL(softmax_cross_entropy_backward, softmax_cross_entropy::BackwardKernel, CUDA, F16,
                BF16, F32, F64);

}  // namespace openautoglm::kernels

// One block takes one row of logits at a time. A target that is no class gives NaN.
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

template <class T>
__device__ Softmax<Compute<T>> Over(const T* row, const Operands<T>& o) {
  using C = Compute<T>;
  C largest = Most<C>::Start();
  for (int64_t i = threadIdx.x; i < o.classes; i += blockDim.x)
    largest = Most<C>()(largest, Wide(row[i * o.step]));
  largest = OverBlock<Most<C>>(largest);
  C sum = 0;
  for (int64_t i = threadIdx.x; i < o.classes; i += blockDim.x)
    sum += exp(Wide(row[i * o.step]) - largest);
  return {largest, OverBlock<Sum<C>>(sum)};
}

template <class T>
__global__ void Forward(Operands<T> o) {
  using C = Compute<T>;
  for (int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    const int64_t target = o.target[r * o.target_row];
    const T* row = o.logits + r * o.row;
    C loss = target == o.ignore_index ? C(0) : C(NAN);
    if (target != o.ignore_index && target >= 0 && target < o.classes) {
      const Softmax<C> softmax = Over(row, o);
      loss = log(softmax.sum) - (Wide(row[target * o.step]) - softmax.largest);
    }
    if (threadIdx.x == 0) o.out[r * o.out_row] = Narrow<T>(loss);
  }
}

template <class T>
__global__ void Backward(Operands<T> o) {
  using C = Compute<T>;
  for (int64_t r = blockIdx.x; r < o.rows; r += gridDim.x) {
    const int64_t target = o.target[r * o.target_row];
    const T* row = o.logits + r * o.row;
    T* out = o.out + r * o.out_row;
    if (target == o.ignore_index || target < 0 || target >= o.classes) {
      const C value = target == o.ignore_index ? C(0) : C(NAN);
      for (int64_t i = threadIdx.x; i < o.classes; i += blockDim.x)
        out[i * o.out_step] = Narrow<T>(value);
      continue;
    }
    const Softmax<C> softmax = Over(row, o);
    const C grad = Wide(o.grad[r * o.grad_row]);
    for (int64_t i = threadIdx.x; i < o.classes; i += blockDim.x) {
      const C probability = exp(Wide(row[i * o.step]) - softmax.largest) / softmax.sum;
      out[i * o.out_step] = Narrow<T>((i == target ? probability - C(1) : probability) * grad);
    }
  }
}

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
      Forward<T><<<Blocks(logits.size(0), 1), kThreads, 0, stream>>>(
          Read<T>(logits, target, ignore_index, loss));
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
      Backward<T><<<Blocks(o.rows, 1), kThreads, 0, stream>>>(o);
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

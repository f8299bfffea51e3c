// The kernels around the inner loops of softmax_cross_entropy: checks and choice by dtype.
#ifndef OPENAUTOGLM_KERNELS_SOFTMAX_CROSS_ENTROPY_KERNEL_H_
#define OPENAUTOGLM_KERNELS_SOFTMAX_CROSS_ENTROPY_KERNEL_H_

#include "../axes.h"
#include "softmax_cross_entropy.h"

namespace openautoglm::kernels {

inline void CheckRows(const TensorView& logits, const TensorView& target) {
  OAG_CHECK_RANK(logits, 2);
  OAG_CHECK_RANK(target, 1);
  OAG_CHECK_SIZE(target, 0, logits.size(0));
  OAG_CHECK_DTYPE(target, I64);
}

inline RowsIn InRows(const TensorView& tensor) {
  return {tensor.bytes(), tensor.stride(0), tensor.rank() > 1 ? LastStep(tensor) : 1};
}

inline RowsOut OutRows(const TensorView& tensor) {
  return {tensor.bytes(), tensor.stride(0), tensor.rank() > 1 ? LastStep(tensor) : 1};
}

template <const ByDtype<CrossEntropyCall>& kTable, int kRank>
struct CrossEntropyKernel {
  static constexpr int kPriority = kRank;

  static void forward(TensorView logits, TensorView target, int64_t ignore_index, TensorView loss) {
    CheckRows(logits, target);
    OAG_CHECK_SAME_SHAPE(loss, target);
    OAG_CHECK_SAME_DTYPE(loss, logits);
    Run(kTable, logits.dtype(),
        {InRows(logits), InRows(target), OutRows(loss), logits.size(0), logits.size(1),
         ignore_index});
  }
};

template <const ByDtype<CrossEntropyBackwardCall>& kTable, int kRank>
struct CrossEntropyBackwardKernel {
  static constexpr int kPriority = kRank;

  static void forward(TensorView grad, TensorView logits, TensorView target, int64_t ignore_index,
                      TensorView grad_logits) {
    CheckRows(logits, target);
    OAG_CHECK_SAME_SHAPE(grad, target);
    OAG_CHECK_SAME_SHAPE(grad_logits, logits);
    OAG_CHECK_SAME_DTYPE(logits, grad);
    OAG_CHECK_SAME_DTYPE(grad_logits, grad);
    Run(kTable, logits.dtype(),
        {InRows(grad), InRows(logits), InRows(target), OutRows(grad_logits), logits.size(0),
         logits.size(1), ignore_index});
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_SOFTMAX_CROSS_ENTROPY_KERNEL_H_

// One function per element type, as a constant table: what an instruction set's file offers to the
// kernels.
#ifndef OPENAUTOGLM_KERNELS_BY_DTYPE_H_
#define OPENAUTOGLM_KERNELS_BY_DTYPE_H_

namespace openautoglm::kernels {

template <class Call>
struct ByDtype {
  void (*f32)(const Call&);
  void (*f64)(const Call&);
  void (*bf16)(const Call&);
  void (*f16)(const Call&);
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_BY_DTYPE_H_

// Sums over rows, kept in the compute type: the gradient of what is one row for all rows.
#ifndef OPENAUTOGLM_KERNELS_COLUMN_SUMS_H_
#define OPENAUTOGLM_KERNELS_COLUMN_SUMS_H_

#include <vector>

#include "axes.h"
#include "simd.h"

namespace openautoglm::kernels {

// Every kBlock rows are summed on their own first, so that the rounding error grows with the number
// of blocks and not with the number of rows.
template <class C>
class ColumnSums {
 public:
  static constexpr int64_t kBlock = 64;

  explicit ColumnSums(int64_t size) : total_(size), block_(size) {}

  // Calls body(first row, rows) for blocks of at most kBlock rows, with `block()` to add to.
  template <class Body>
  void AddRows(int64_t rows, Body body) {
    for (int64_t first = 0; first < rows;) {
      const int64_t count = rows - first < kBlock - held_ ? rows - first : kBlock - held_;
      body(first, count);
      first += count;
      held_ += count;
      if (held_ == kBlock) Fold();
    }
  }

  C* block() { return block_.data(); }

  template <class T>
  void WriteTo(const TensorView& out) {
    Fold();
    T* to = static_cast<T*>(out.bytes());
    const int64_t step = LastStep(out);
    for (size_t i = 0; i < total_.size(); ++i)
      OAG_SIMD::StoreOne<T>(to + static_cast<int64_t>(i) * step, total_[i]);
  }

 private:
  void Fold() {
    for (size_t i = 0; i < total_.size(); ++i) total_[i] += block_[i];
    for (C& sum : block_) sum = 0;
    held_ = 0;
  }

  std::vector<C> total_;
  std::vector<C> block_;
  int64_t held_ = 0;
};

// Calls body(zero of the element type) for the dtype.
template <class Body>
void VisitFloat(DLDataType dtype, Body body) {
  if (dtype.bits == 64) return body(double{});
  if (dtype.bits == 32) return body(float{});
  dtype.code == kDLBfloat ? body(BFloat16{}) : body(Float16{});
}

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_COLUMN_SUMS_H_

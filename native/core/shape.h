// What shapes an operator takes, as a small program checked on every call.
//
// A dimension is a number, a symbol that must have one value throughout a call, or anything. Owns no memory of a
// caller; knows nothing of kernels.
#ifndef OPENAUTOGLM_CORE_SHAPE_H_
#define OPENAUTOGLM_CORE_SHAPE_H_

#include <dlpack/dlpack.h>

#include <cstdint>
#include <vector>

namespace openautoglm {

constexpr int kMaxSymbols = 16;
constexpr int kMaxRank = 16;
constexpr int64_t kUnbound = -1;

// One dimension of a pattern: a size when symbol < 0, else the index of a symbol.
struct Dim {
  int64_t size = 0;
  int symbol = -1;
};

struct Pattern {
  bool any = true;       // any shape at all
  bool leading = false;  // starts with "...": the same leading sizes wherever it stands in one operator
  std::vector<Dim> dims;
};

// The values symbols have taken in one call.
struct Bindings {
  int64_t value[kMaxSymbols];
  const int64_t* leading = nullptr;  // borrowed from the first tensor that has leading sizes
  int leading_rank = -1;

  Bindings() {
    for (int64_t& v : value) v = kUnbound;
  }
};

inline bool MatchLeading(const DLTensor& t, int rank, Bindings* bound) {
  if (bound->leading_rank < 0) {
    bound->leading = t.shape;
    bound->leading_rank = rank;
    return true;
  }
  if (bound->leading_rank != rank) return false;
  for (int i = 0; i < rank; ++i) {
    if (bound->leading[i] != t.shape[i]) return false;
  }
  return true;
}

// Returns whether the tensor fits, and binds the symbols it is the first to name.
inline bool Match(const Pattern& pattern, const DLTensor& t, Bindings* bound) {
  if (pattern.any) return true;
  const int named = static_cast<int>(pattern.dims.size());
  const int leading = t.ndim - named;
  if (pattern.leading ? leading < 0 : leading != 0) return false;
  if (pattern.leading && !MatchLeading(t, leading, bound)) return false;
  for (int i = 0; i < named; ++i) {
    const Dim& dim = pattern.dims[i];
    const int64_t size = t.shape[leading + i];
    if (dim.symbol < 0) {
      if (dim.size != size) return false;
    } else if (bound->value[dim.symbol] == kUnbound) {
      bound->value[dim.symbol] = size;
    } else if (bound->value[dim.symbol] != size) {
      return false;
    }
  }
  return true;
}

inline bool IsContiguous(const DLTensor& t) {
  if (t.strides == nullptr) return true;
  int64_t expected = 1;
  for (int i = t.ndim - 1; i >= 0; --i) {
    if (t.shape[i] == 0) return true;
    if (t.shape[i] != 1 && t.strides[i] != expected) return false;
    expected *= t.shape[i];
  }
  return true;
}

}  // namespace openautoglm

#endif  // OPENAUTOGLM_CORE_SHAPE_H_

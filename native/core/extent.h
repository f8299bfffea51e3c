// The shapes outputs have, by the rules of a signature.
#ifndef OPENAUTOGLM_CORE_EXTENT_H_
#define OPENAUTOGLM_CORE_EXTENT_H_

#include <cstdint>
#include <cstring>

#include "cell.h"

namespace openautoglm {

struct Extent {
  int64_t sizes[kMaxRank];
  int64_t strides[kMaxRank];
  int rank = 0;
};

inline bool Broadcast(const OutputRule& rule, const Call& call, Extent* extent) {
  for (int input : rule.inputs) {
    const DLTensor* t = call.tensors[input];
    if (t != nullptr && t->ndim > extent->rank) extent->rank = t->ndim;
  }
  if (extent->rank > kMaxRank) return false;
  for (int i = 0; i < extent->rank; ++i) extent->sizes[i] = 1;
  for (int input : rule.inputs) {
    const DLTensor* t = call.tensors[input];
    if (t == nullptr) continue;
    const int shift = extent->rank - t->ndim;
    for (int i = 0; i < t->ndim; ++i) {
      int64_t* size = &extent->sizes[shift + i];
      if (t->shape[i] == *size || t->shape[i] == 1) continue;
      if (*size != 1) return false;
      *size = t->shape[i];
    }
  }
  return true;
}

inline bool Named(const Pattern& pattern, const Bindings& bound, Extent* extent) {
  const int leading = pattern.leading ? bound.leading_rank : 0;
  if (leading < 0 || leading + static_cast<int>(pattern.dims.size()) > kMaxRank) return false;
  for (int i = 0; i < leading; ++i) extent->sizes[extent->rank++] = bound.leading[i];
  for (const Dim& dim : pattern.dims) {
    const int64_t size = dim.symbol < 0 ? dim.size : bound.value[dim.symbol];
    if (size < 0) return false;
    extent->sizes[extent->rank++] = size;
  }
  return true;
}

// Fills in the shape of an output; false where the slow way is needed.
inline bool ExtentOf(const OutputRule& rule, const Call& call, Extent* extent) {
  if (rule.rule == Rule::kBroadcast) return Broadcast(rule, call, extent);
  if (rule.rule == Rule::kShape) return Named(rule.pattern, call.bound, extent);
  const DLTensor* like = call.tensors[rule.like];
  if (like == nullptr || like->ndim > kMaxRank) return false;
  extent->rank = like->ndim;
  std::memcpy(extent->sizes, like->shape, sizeof(int64_t) * like->ndim);
  return true;
}

// Fills in the strides of elements that stand in order without gaps.
inline void SetStrides(Extent* extent) {
  int64_t step = 1;
  for (int i = extent->rank - 1; i >= 0; --i) {
    extent->strides[i] = step;
    step *= extent->sizes[i] > 0 ? extent->sizes[i] : 1;
  }
}

}  // namespace openautoglm

#endif  // OPENAUTOGLM_CORE_EXTENT_H_

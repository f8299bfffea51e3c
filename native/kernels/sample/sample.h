// The inner loops of `sample`: passes over one row of logits, in blocks that stay in the nearest
// cache.
//
// Sums run inside a block first and over the blocks in order, in f64: a row's result depends on the
// row alone.
#ifndef OPENAUTOGLM_KERNELS_SAMPLE_SAMPLE_H_
#define OPENAUTOGLM_KERNELS_SAMPLE_SAMPLE_H_

#include "../special.h"

namespace openautoglm::kernels {

constexpr int64_t kSampleBlock = 256;  // logits of a block: 1 KiB

// What a pass finds. The logarithm of the sum of exp is there where it was asked for.
struct SampleScan {
  float most;     // the largest logit
  int64_t token;  // the first one that large, or -1 where none is above -inf
  bool is_bad;    // NaN or +inf is among them
  double log_sum;
};

// A table, so that the code around the passes is compiled once, for any machine.
struct SampleTable {
  // Scans a row; with `blocks` the largest logit of each block goes there.
  SampleScan (*scan)(const float* row, int64_t count, float* blocks, bool with_sum);
  // Writes the sum of exp((logit - most) * inverse) of each block; returns that of all.
  double (*sums)(const float* row, int64_t count, float most, float inverse, double* blocks);
  // Writes exp((logit - most) * inverse) of some logits.
  void (*weights)(const float* row, int64_t count, float most, float inverse, float* to);
};

extern const SampleTable kSampleV3, kSampleV4;

namespace OAG_SIMD {

// One block, padded with -inf where the row ends inside it.
class SampleBlock {
 public:
  OAG_INLINE const float* Of(const float* row, int64_t begin, int64_t count) {
    const int64_t left = count - begin;
    if (left >= kSampleBlock) return row + begin;
    for (int64_t i = 0; i < kSampleBlock; ++i) room_[i] = i < left ? row[begin + i] : -__builtin_inff();
    return room_;
  }

 private:
  float room_[kSampleBlock];
};

constexpr int kSampleChains = 4;  // sums and maxima side by side, to hide how long one takes
constexpr int64_t kSampleStride = kSampleChains * kLanes<float>;

struct BlockMost {
  float most;
  bool is_good;
};

OAG_INLINE BlockMost MostOf(const float* block) {
  using Mask = decltype(Vector<float>{} < Vector<float>{});
  const Vector<float> infinity = Splat<float>(__builtin_inff());
  Vector<float> most[kSampleChains];
  Mask good[kSampleChains];
  for (int c = 0; c < kSampleChains; ++c) {
    most[c] = -infinity;
    good[c] = Mask{} - 1;
  }
  for (int64_t i = 0; i < kSampleBlock; i += kSampleStride) {
    for (int c = 0; c < kSampleChains; ++c) {
      const Vector<float> value = Load<float>(block + i + c * kLanes<float>);
      good[c] &= value < infinity;  // false for NaN too
      most[c] = (value > most[c]) ? value : most[c];
    }
  }
  for (int c = 1; c < kSampleChains; ++c) {
    good[0] &= good[c];
    most[0] = (most[c] > most[0]) ? most[c] : most[0];
  }
  bool is_good = true;
  for (int i = 0; i < kLanes<float>; ++i) is_good = is_good && good[0][i] != 0;
  return {MaxOf<float>(most[0]), is_good};
}

OAG_INLINE double SumOfExp(const float* block, float most, float inverse) {
  Vector<float> sum[kSampleChains] = {};
  for (int64_t i = 0; i < kSampleBlock; i += kSampleStride) {
    for (int c = 0; c < kSampleChains; ++c) {
      sum[c] += Exp<float>((Load<float>(block + i + c * kLanes<float>) - most) * inverse);
    }
  }
  return SumOf<float>((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

OAG_INLINE double ExpOne(double x) { return Exp<double>(Splat<double>(x))[0]; }

inline SampleScan ScanSample(const float* row, int64_t count, float* blocks, bool with_sum) {
  SampleScan scan{-__builtin_inff(), -1, false, 0};
  SampleBlock room;
  int64_t best = -1;
  double sum = 0;
  for (int64_t begin = 0; begin < count; begin += kSampleBlock) {
    const float* block = room.Of(row, begin, count);
    const BlockMost found = MostOf(block);
    scan.is_bad = scan.is_bad || !found.is_good;
    if (blocks != nullptr) blocks[begin / kSampleBlock] = found.most;
    if (found.most > scan.most) {
      if (with_sum) sum *= ExpOne(static_cast<double>(scan.most) - found.most);
      scan.most = found.most;
      best = begin;
    }
    if (with_sum && scan.most > -__builtin_inff()) sum += SumOfExp(block, scan.most, 1.0F);
  }
  if (best < 0) return scan;
  scan.token = best;
  while (row[scan.token] != scan.most) ++scan.token;
  if (with_sum) scan.log_sum = scan.most + __builtin_log(sum);
  return scan;
}

inline double SumSample(const float* row, int64_t count, float most, float inverse, double* blocks) {
  SampleBlock room;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kSampleBlock) {
    const double sum = SumOfExp(room.Of(row, begin, count), most, inverse);
    blocks[begin / kSampleBlock] = sum;
    total += sum;
  }
  return total;
}

inline void WeighSample(const float* row, int64_t count, float most, float inverse, float* to) {
  int64_t i = 0;
  for (; i + kLanes<float> <= count; i += kLanes<float>) {
    Store<float>(to + i, Exp<float>((Load<float>(row + i) - most) * inverse));
  }
  if (i < count) {
    const int left = static_cast<int>(count - i);
    Store<float>(to + i, 1, left, Exp<float>((Load<float>(row + i, 1, left) - most) * inverse));
  }
}

constexpr SampleTable kSampleTable{ScanSample, SumSample, WeighSample};

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_SAMPLE_SAMPLE_H_

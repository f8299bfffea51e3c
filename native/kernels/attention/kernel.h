// The kernel around the inner loops of attention: which queries share keys, and where those lie.
#ifndef OPENAUTOGLM_KERNELS_ATTENTION_KERNEL_H_
#define OPENAUTOGLM_KERNELS_ATTENTION_KERNEL_H_

#include <openautoglm/op.h>
#include <openautoglm/parallel.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "../axes.h"
#include "attention.h"

namespace openautoglm::kernels {

// Neighbouring rows of one slot at rising positions; they share keys.
struct AttentionRows {
  int64_t begin;
  int count;
};

struct AttentionCall {
  const float* q;
  const char *k, *v;  // f32 or bf16
  int64_t bytes;      // of one of their elements
  float* out;
  const int64_t *slot, *position;
  int64_t rows, heads, group, width, slots, blocks, window;
  float scale;

  bool IsPlaced(int64_t row) const {
    return slot[row] >= 0 && slot[row] < slots && position[row] >= 0 && position[row] < blocks * kBlock;
  }
  bool Shares(int64_t row, int64_t next) const {
    return IsPlaced(row) && IsPlaced(next) && slot[row] == slot[next] && position[next] == position[row] + 1;
  }
};

inline std::vector<AttentionRows> SharedRows(const AttentionCall& call) {
  const int64_t most = std::max<int64_t>(1, kMostQueries / call.group);
  std::vector<AttentionRows> shared;
  for (int64_t row = 0; row < call.rows;) {
    int count = 1;
    while (count < most && row + count < call.rows && call.Shares(row + count - 1, row + count)) ++count;
    shared.push_back({row, count});
    row += count;
  }
  return shared;
}

// Queries of some rows at one key head, side by side, and where they look.
class Gathered {
 public:
  explicit Gathered(const AttentionCall& call)
      : call_(call), row_(call.blocks * kBlock), room_(new float[Queries() * (2 * call.width)]) {
    first_.reserve(Queries());
    last_.reserve(Queries());
  }

  void Run(AttentionRun run, const AttentionRows& rows, int64_t head) {
    if (!call_.IsPlaced(rows.begin)) return Poison(rows, head);
    Attend(run, rows, head);
    if (rows.count == 1 || IsFinite(rows, head)) return;
    // A value that one row does not look at, infinite or NaN, went into its sum with the weight 0.
    for (int r = 0; r < rows.count; ++r) Attend(run, {rows.begin + r, 1}, head);
  }

 private:
  void Attend(AttentionRun run, const AttentionRows& rows, int64_t head) {
    first_.clear();
    last_.clear();
    for (int r = 0; r < rows.count; ++r) {
      const int64_t position = call_.position[rows.begin + r];
      const int64_t first = call_.window > 0 ? std::max<int64_t>(0, position - call_.window + 1) : 0;
      first_.insert(first_.end(), call_.group, first);
      last_.insert(last_.end(), call_.group, position);
      std::copy_n(At(call_.q, rows.begin + r, head), call_.group * call_.width,
                  room_.get() + r * call_.group * call_.width);
    }
    AttentionTile tile{};
    tile.begin = first_.front() / kBlock;
    tile.end = last_.back() / kBlock + 1;
    Reserve((tile.end - tile.begin) * kBlock);
    const int64_t cache = (call_.slot[rows.begin] * call_.heads + head) * row_ * call_.width * call_.bytes;
    for (int64_t done = 0, all = rows.count * call_.group; done < all; done += kMostQueries) {
      tile.queries = static_cast<int>(std::min<int64_t>(kMostQueries, all - done));
      tile.q = room_.get() + done * call_.width;
      tile.out = room_.get() + (Queries() + done) * call_.width;
      tile.k = call_.k + cache;
      tile.v = call_.v + cache;
      tile.scores = scores_.get();
      tile.first = first_.data() + done;
      tile.last = last_.data() + done;
      tile.width = call_.width;
      tile.scale = call_.scale;
      run(tile);
    }
    for (int r = 0; r < rows.count; ++r) {
      std::copy_n(room_.get() + (Queries() + r * call_.group) * call_.width, call_.group * call_.width,
                  const_cast<float*>(At(call_.out, rows.begin + r, head)));
    }
  }

  bool IsFinite(const AttentionRows& rows, int64_t head) const {
    constexpr uint32_t kExponent = 0x7f800000U;
    uint32_t found = 0;
    for (int r = 0; r < rows.count; ++r) {
      const float* out = At(call_.out, rows.begin + r, head);
      for (int64_t i = 0; i < call_.group * call_.width; ++i) {
        uint32_t bits;
        __builtin_memcpy(&bits, out + i, sizeof bits);
        found |= (bits & kExponent) == kExponent ? 1U : 0U;
      }
    }
    return found == 0;
  }

  int64_t Queries() const { return std::max<int64_t>(kMostQueries, call_.group); }

  const float* At(const float* rows, int64_t row, int64_t head) const {
    return rows + (row * call_.heads + head) * call_.group * call_.width;
  }

  void Reserve(int64_t positions) {
    if (positions <= held_) return;
    held_ = positions;
    scores_.reset(new float[static_cast<size_t>(kMostQueries * positions)]);
  }

  void Poison(const AttentionRows& rows, int64_t head) {
    for (int r = 0; r < rows.count; ++r) {
      std::fill_n(const_cast<float*>(At(call_.out, rows.begin + r, head)), call_.group * call_.width,
                  std::numeric_limits<float>::quiet_NaN());
    }
  }

  const AttentionCall& call_;
  const int64_t row_;
  std::unique_ptr<float[]> room_, scores_;
  std::vector<int64_t> first_, last_;
  int64_t held_ = 0;
};

template <const AttentionRun& kRun, int kRank>
struct AttentionKernel {
  static constexpr int kPriority = kRank;
  static constexpr bool kContiguous = true;

  static void forward(TensorView q, TensorView k, TensorView v, TensorView slot, TensorView position,
                      double scale, int64_t window, TensorView out) {
    const AttentionCall call = Read(q, k, v, slot, position, out, scale, window);
    if (call.rows == 0 || call.group == 0 || call.width == 0) return;
    const std::vector<AttentionRows> shared = SharedRows(call);
    const int64_t items = static_cast<int64_t>(shared.size()) * call.heads;
    ParallelFor(items, 4, [&](int64_t begin, int64_t end) {
      Gathered gathered(call);
      for (int64_t i = begin; i < end; ++i) gathered.Run(kRun, shared[i / call.heads], i % call.heads);
    });
  }

 private:
  static AttentionCall Read(const TensorView& q, const TensorView& k, const TensorView& v, const TensorView& slot,
                            const TensorView& position, const TensorView& out, double scale, int64_t window) {
    OAG_CHECK_RANK(q, 4);
    OAG_CHECK_RANK(k, 5);
    OAG_CHECK_RANK(v, 5);
    OAG_CHECK_SAME_SHAPE(out, q);
    OAG_CHECK(v.dtype().bits == k.dtype().bits, "keys and values must be of one dtype", v.shape_text());
    OAG_CHECK_SIZE(k, 1, q.size(1));
    OAG_CHECK_SIZE(k, 3, q.size(3));
    OAG_CHECK_SIZE(k, 4, kBlock);
    OAG_CHECK_SIZE(v, 0, k.size(0));
    OAG_CHECK_SIZE(v, 1, k.size(1));
    OAG_CHECK_SIZE(v, 2, k.size(2));
    OAG_CHECK_SIZE(v, 3, kBlock);
    OAG_CHECK_SIZE(v, 4, q.size(3));
    OAG_CHECK_SIZE(slot, 0, q.size(0));
    OAG_CHECK_SIZE(position, 0, q.size(0));
    AttentionCall call{};
    call.q = q.data<const float>();
    call.k = static_cast<const char*>(k.bytes());
    call.v = static_cast<const char*>(v.bytes());
    call.bytes = k.dtype().bits / 8;
    call.out = out.data<float>();
    call.slot = slot.data<const int64_t>();
    call.position = position.data<const int64_t>();
    call.rows = q.size(0);
    call.heads = q.size(1);
    call.group = q.size(2);
    call.width = q.size(3);
    call.slots = k.size(0);
    call.blocks = k.size(2);
    call.window = window;
    call.scale = static_cast<float>(scale);
    return call;
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_ATTENTION_KERNEL_H_

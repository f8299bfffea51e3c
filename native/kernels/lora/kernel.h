// The kernel around the inner loops of lora: which rows share an adapter, and where they lie.
#ifndef OPENAUTOGLM_KERNELS_LORA_KERNEL_H_
#define OPENAUTOGLM_KERNELS_LORA_KERNEL_H_

#include <openautoglm/op.h>
#include <openautoglm/parallel.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "../axes.h"
#include "lora.h"

namespace openautoglm::kernels {

struct LoraCall {
  const float *x, *a, *b;
  float* out;
  const int64_t* adapter;
  const int64_t* rank;
  int64_t rows, depth, width, adapters, most, b_step, out_step, begin;  // width: of what is changed

  int64_t RankOf(int64_t row) const { return std::clamp<int64_t>(rank[adapter[row]], 0, most); }
};

// The rows that an adapter changes, those of one adapter side by side; rows of no adapter that
// there is are NaN.
inline std::vector<int64_t> ChangedRows(const LoraCall& call) {
  std::vector<int64_t> changed;
  for (int64_t row = 0; row < call.rows; ++row) {
    if (call.adapter[row] < 0) continue;
    if (call.adapter[row] >= call.adapters) {
      std::fill_n(call.out + row * call.out_step, call.out_step, std::numeric_limits<float>::quiet_NaN());
    } else if (call.RankOf(row) > 0) {
      changed.push_back(row);
    }
  }
  const auto comes_first = [&](int64_t one, int64_t other) { return call.adapter[one] < call.adapter[other]; };
  if (!std::is_sorted(changed.begin(), changed.end(), comes_first)) {
    std::stable_sort(changed.begin(), changed.end(), comes_first);
  }
  return changed;
}

inline void RunTiles(LoraRun run, const LoraCall& call, const int64_t* rows, const int64_t* end) {
  while (rows < end) {
    const int64_t adapter = call.adapter[*rows];
    LoraTile tile{};
    tile.a = call.a + adapter * call.most * call.depth;
    tile.b = call.b + adapter * call.most * call.b_step;
    tile.rank = call.RankOf(*rows);
    tile.depth = call.depth;
    tile.width = call.width;
    tile.b_step = call.b_step;
    for (; rows < end && tile.count < kLoraRows && call.adapter[*rows] == adapter; ++rows) {
      tile.x[tile.count] = call.x + *rows * call.depth;
      tile.out[tile.count++] = call.out + *rows * call.out_step + call.begin;
    }
    run(tile);
  }
}

template <const LoraRun& kRun, int kRank>
struct LoraKernel {
  static constexpr int kPriority = kRank;

  static void forward(TensorView y, TensorView x, TensorView a, TensorView b, TensorView rank, TensorView adapter,
                      int64_t begin, TensorView out) {
    if (out.numel() == 0) return;
    Check(y, x, a, b, rank, adapter, out);
    CopyRows(y, out);
    LoraCall call{};
    call.x = x.data<const float>();
    call.a = a.data<const float>();
    call.b = b.data<const float>();
    call.out = out.data<float>();
    call.adapter = adapter.data<const int64_t>();
    call.rank = rank.data<const int64_t>();
    call.rows = x.size(0);
    call.depth = x.size(1);
    call.begin = std::clamp<int64_t>(begin, 0, y.size(1));
    call.width = std::min(b.size(2), y.size(1) - call.begin);
    call.adapters = a.size(0);
    call.most = a.size(1);
    call.b_step = b.size(2);
    call.out_step = y.size(1);
    const std::vector<int64_t> rows = ChangedRows(call);
    constexpr int64_t kWorthAThread = 1 << 14;
    const int64_t cost = call.most * (call.depth + call.width) + 1;
    ParallelFor(static_cast<int64_t>(rows.size()), kWorthAThread / cost + 1, [&](int64_t begin, int64_t end) {
      RunTiles(kRun, call, rows.data() + begin, rows.data() + end);
    });
  }

 private:
  static void Check(const TensorView& y, const TensorView& x, const TensorView& a, const TensorView& b,
                    const TensorView& rank, const TensorView& adapter, const TensorView& out) {
    OAG_CHECK_RANK(y, 2);
    OAG_CHECK_RANK(x, 2);
    OAG_CHECK_RANK(a, 3);
    OAG_CHECK_RANK(b, 3);
    OAG_CHECK_SAME_SHAPE(out, y);
    OAG_CHECK_SIZE(x, 0, y.size(0));
    OAG_CHECK_SIZE(a, 2, x.size(1));
    OAG_CHECK_SIZE(b, 0, a.size(0));
    OAG_CHECK_SIZE(b, 1, a.size(1));
    OAG_CHECK_SIZE(rank, 0, a.size(0));
    OAG_CHECK_SIZE(adapter, 0, y.size(0));
    OAG_CHECK(out.is_contiguous(), "out must be compact", out.shape_text());
  }

  // What is not there already: y may be out.
  static void CopyRows(const TensorView& y, const TensorView& out) {
    const auto* from = y.data<const float>();
    auto* to = out.data<float>();
    if (from == to && y.is_contiguous()) return;
    const int64_t width = y.size(1);
    for (int64_t row = 0; row < y.size(0); ++row) {
      for (int64_t i = 0; i < width; ++i) to[row * width + i] = from[row * y.stride(0) + i * y.stride(1)];
    }
  }
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_LORA_KERNEL_H_

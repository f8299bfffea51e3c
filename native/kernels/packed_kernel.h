// What the kernels around packed weights share: checks, and the call as plain data.
#ifndef OPENAUTOGLM_KERNELS_PACKED_KERNEL_H_
#define OPENAUTOGLM_KERNELS_PACKED_KERNEL_H_

#include <openautoglm/op.h>
#include <openautoglm/parallel.h>

#include "axes.h"
#include "packed.h"

namespace openautoglm::kernels {

constexpr int kDotPriority = kV4Priority + 5;  // with an instruction for the dot product itself

inline const float* BlocksOf(const char* name, const Optional<TensorView>& values, int64_t blocks) {
  if (!values) return nullptr;
  CheckRank(name, *values, 2);
  CheckSize(name, *values, 0, "blocks", blocks);
  CheckSize(name, *values, 1, "16", kBlock);
  return values->data<const float>();
}

// Reads a call whose rows are the leading dimensions of x; the depth is the last one, or the last two where `group` of
// its steps have a dimension of their own. Of weights, only the blocks, the outputs of one and the groups are looked at.
inline LinearCall ReadLinear(const TensorView& x, int64_t group, const TensorView& weight,
                             const Optional<TensorView>& bias, const Optional<TensorView>& residual,
                             const TensorView& out) {
  const int depth_dims = group > 1 ? 2 : 1;
  OAG_CHECK_SIZE(weight, -depth_dims, kBlock);
  if (group > 1) OAG_CHECK_SIZE(x, -1, group);
  OAG_CHECK_SIZE(x, -depth_dims, weight.size(1));
  LinearCall call{};
  call.x = x.data<const float>();
  call.weight = weight.bytes();
  call.depth = weight.size(1) * group;
  call.blocks = weight.size(0);
  call.out = out.data<float>();
  OAG_CHECK_SIZE(out, -1, kBlock);
  OAG_CHECK_SIZE(out, -2, call.blocks);
  const int leading = x.rank() - depth_dims;
  OAG_CHECK(out.rank() == leading + 2, "out must have a row for each of x", out.shape_text());
  for (int d = 0; d < leading; ++d) OAG_CHECK_SIZE(out, d, x.size(d));
  call.rows = out.numel() > 0 ? out.numel() / (call.blocks * kBlock) : 0;  // without outputs, none to read
  call.bias = BlocksOf("bias", bias, call.blocks);
  if (residual) {
    OAG_CHECK_SAME_SHAPE((*residual), out);
    call.residual = residual->data<const float>();
  }
  return call;
}

// Splits the blocks over threads where the weights are worth it, in whole tiles of those instructions that have the
// widest: a tile cut in two waits for its own sums.
template <typename Body>
void OverBlocks(const LinearCall& call, const Body& body) {
  constexpr int64_t kWorthAThread = 1 << 16;  // multiplications
  constexpr int64_t kTiles[] = {8, 8, 8, 8, 6, 4, 4, 3, 3};  // blocks of a tile, by rows
  const int64_t tile = kTiles[call.rows < 8 ? call.rows : 8];
  const int64_t work = call.rows * call.depth * kBlock * tile;
  const int64_t tiles = (call.blocks + tile - 1) / tile;
  const int64_t least = work > 0 ? kWorthAThread / work + 1 : tiles;
  ParallelFor(tiles, least, [&](int64_t begin, int64_t end) {
    const int64_t stop = end * tile;
    body(begin * tile, stop < call.blocks ? stop : call.blocks);
  });
}

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_PACKED_KERNEL_H_

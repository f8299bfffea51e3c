// Stored weights brought into the form that operators multiply by: widened, rounded or quantized, in blocks of 16
// outputs.
//
// Whatever the numbers are kept as, 4 bytes of them follow each other along the depth (one f32, two bf16, four int8,
// eight int4) and a block holds such words of its 16 outputs side by side.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <tvm/ffi/tvm_ffi.h>

#include "threads.h"

namespace openautoglm {

namespace {

constexpr int64_t kBlock = 16;
constexpr int64_t kGroup = 32;  // steps of the depth with one grid, of int4
constexpr float kLargest = 127.0F;
constexpr float kSmallestPeak = 1e-30F;
constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest whole number in the low bits

enum class Stored : int64_t { kF32 = 0, kF16 = 1, kBf16 = 2 };
enum class Kept : int64_t { kF32 = 1, kBf16 = 2, kInt8 = 4, kInt4 = 8 };  // numbers in a word

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t ToBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// The exponent is moved by a multiplication, which makes subnormal numbers come out right too.
float FromHalf(uint16_t half) {
  const uint32_t rest = (half & 0x7fffU) << 13;
  const uint32_t finite = ToBits(FromBits(rest) * 0x1p112F);
  return FromBits((rest >= 0x0f800000U ? rest | 0x7f800000U : finite) | (half & 0x8000U) << 16);
}

// A matrix of a file, and the rows of it that are wanted, in the order they are wanted in. All borrowed.
struct Source {
  const char* data;  // (rows, depth), aligned or not
  Stored stored;
  const int64_t* order;  // which row each is; null for all as they are
  int64_t depth;

  void Read(int64_t row, float* to) const {
    const int64_t at = (order == nullptr ? row : order[row]) * depth;
    if (stored == Stored::kF32) {
      std::memcpy(to, data + at * 4, static_cast<size_t>(depth) * 4);
      return;
    }
    const char* from = data + at * 2;
    for (int64_t i = 0; i < depth; ++i) {
      uint16_t bits;
      std::memcpy(&bits, from + i * 2, sizeof bits);
      to[i] = stored == Stored::kBf16 ? FromBits(static_cast<uint32_t>(bits) << 16) : FromHalf(bits);
    }
  }
};

struct Target {
  char* data;    // (blocks, words, 16) of 4 bytes
  float* scale;  // by output, of int8 and int4
  uint8_t* grid;  // (blocks, groups, 16), of int4
  Kept kept;
  int64_t first;  // the output that the first row is
};

int64_t CountNotFinite(const std::vector<float>& row) {
  int32_t count = 0;
  for (const float value : row) count += (ToBits(value) & 0x7f800000U) == 0x7f800000U ? 1 : 0;
  return count;
}

uint32_t NearestBf16(float value) {
  const uint32_t bits = ToBits(value);
  return (bits + 0x7fffU + (bits >> 16 & 1U)) >> 16;
}

void RoundToBf16(const std::vector<float>& row, uint32_t* words) {
  for (size_t i = 0; i < row.size() / 2; ++i) words[i] = NearestBf16(row[2 * i]) | NearestBf16(row[2 * i + 1]) << 16;
}

// Returns what one of the whole numbers is worth.
float RoundToInt8(const std::vector<float>& row, uint32_t* words) {
  uint32_t most = 0;  // sizes of numbers are in the order of their bits
  for (const float value : row) most = std::max(most, ToBits(value) & 0x7fffffffU);
  const float scale = std::max(FromBits(most), kSmallestPeak) / kLargest;
  auto* bytes = reinterpret_cast<uint8_t*>(words);
  for (size_t i = 0; i < row.size(); ++i) bytes[i] = static_cast<uint8_t>(ToBits(row[i] / scale + kShift));
  return scale;
}

// A row of int4 in groups of 32: a weight n of 0 to 15 is m * (n - z), in parts of the scale.
struct Grid {
  float m, z;
};

// The grid with a step that lies best around a group whose ends sum up to `ends`, and leaves no weight outside int8.
Grid Around(float m, float ends) {
  float z = std::floor(7.5F - ends * 0.5F / m + 0.5F);
  z = std::max(z, std::max(0.0F, 15.0F - std::floor(127.0F / m)));
  z = std::min(z, std::min(15.0F, std::floor(128.0F / m)));
  return {m, z};
}

// Rounds a group; returns the sum of the squares of what is lost.
double RoundToGrid(const float* group, const Grid& grid, float* to) {
  double lost = 0;
  for (int64_t i = 0; i < kGroup; ++i) {
    const float nearest = (group[i] / grid.m + kShift) - kShift;
    to[i] = std::min(std::max(nearest + grid.z, 0.0F), 15.0F);
    const double off = (to[i] - grid.z) * grid.m - group[i];
    lost += off * off;
  }
  return lost;
}

// Of the two narrowest grids that a group fits, takes the one that loses less; returns it as the operator reads it.
uint8_t RoundGroup(const float* group, float* to) {
  const auto [low, high] = std::minmax_element(group, group + kGroup);
  const float ends = *low + *high;
  const float widest = std::min(std::max(std::ceil((*high - *low) / 15.0F), 1.0F), 16.0F);
  Grid best = Around(widest, ends);
  const Grid narrow = Around(std::max(widest - 1.0F, 1.0F), ends);
  float tried[kGroup];
  if (RoundToGrid(group, narrow, tried) < RoundToGrid(group, best, to)) {
    std::copy(tried, tried + kGroup, to);
    best = narrow;
  }
  return static_cast<uint8_t>(best.m - 1.0F + 16.0F * best.z);
}

// Returns what one of the whole numbers is worth. The depth is a multiple of 32, and grids lie 16 apart.
float RoundToInt4(const std::vector<float>& row, uint32_t* words, uint8_t* grid) {
  uint32_t most = 0;
  for (const float value : row) most = std::max(most, ToBits(value) & 0x7fffffffU);
  const float scale = std::max(FromBits(most), kSmallestPeak) / 128.0F;
  float group[kGroup], rounded[kGroup];
  for (size_t begin = 0; begin < row.size(); begin += kGroup) {
    for (size_t i = 0; i < kGroup; ++i) group[i] = row[begin + i] / scale;
    grid[begin / kGroup * kBlock] = RoundGroup(group, rounded);
    auto* bytes = reinterpret_cast<uint8_t*>(words + begin / 8);
    for (size_t i = 0; i < kGroup / 2; ++i) {
      const size_t low = i / 4 * 8 + i % 4;
      bytes[i] = static_cast<uint8_t>(static_cast<int>(rounded[low]) | static_cast<int>(rounded[low + 4]) << 4);
    }
  }
  return scale;
}

// Packs some rows; returns how many of their values are not finite.
int64_t PackSome(const Source& source, const Target& target, int64_t begin, int64_t end) {
  const int64_t count = source.depth / static_cast<int64_t>(target.kept);
  std::vector<float> row(static_cast<size_t>(source.depth));
  std::vector<uint32_t> words(static_cast<size_t>(count));
  int64_t bad = 0;
  for (int64_t r = begin; r < end; ++r) {
    source.Read(r, row.data());
    bad += CountNotFinite(row);
    const int64_t output = target.first + r;
    if (target.kept == Kept::kF32) {
      std::memcpy(words.data(), row.data(), static_cast<size_t>(count) * 4);
    } else if (target.kept == Kept::kBf16) {
      RoundToBf16(row, words.data());
    } else if (target.kept == Kept::kInt4) {
      uint8_t* grid = target.grid + output / kBlock * (source.depth / kGroup) * kBlock + output % kBlock;
      target.scale[output] = RoundToInt4(row, words.data(), grid);
    } else {
      target.scale[output] = RoundToInt8(row, words.data());
    }
    char* to = target.data + (output / kBlock * count * kBlock + output % kBlock) * 4;
    for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * kBlock * 4, &words[static_cast<size_t>(i)], 4);
  }
  return bad;
}

struct Job {
  const Source& source;
  const Target& target;
  int64_t rows;
  std::atomic<int64_t> bad{0};
};

// weights_pack(data, stored, order or 0, rows, depth, target, kept, scale or 0, grid or 0, first, threads) -> values not
// finite.
//
// Addresses are whole numbers; memory is borrowed for the call. `stored` and `kept` are the enumerations above, and the
// depth is a multiple of the numbers in a word, or of 32 for int4.
int64_t WeightsPack(int64_t data, int64_t stored, int64_t order, int64_t rows, int64_t depth, int64_t to, int64_t kept,
                    int64_t scale, int64_t grid, int64_t first, int64_t threads) {
  const Source source{reinterpret_cast<const char*>(data), static_cast<Stored>(stored),
                      reinterpret_cast<const int64_t*>(order), depth};
  const Target target{reinterpret_cast<char*>(to), reinterpret_cast<float*>(scale),
                      reinterpret_cast<uint8_t*>(grid), static_cast<Kept>(kept), first};
  Job job{source, target, rows};
  const auto body = [](void* context, int64_t begin, int64_t end) {
    auto* given = static_cast<Job*>(context);
    const int64_t stop = std::min(end * kBlock, given->rows);
    given->bad += PackSome(given->source, given->target, begin * kBlock, stop);
  };
  const int before = AllowThreads(static_cast<int>(threads));
  RunParallel((rows + kBlock - 1) / kBlock, 1, body, &job);
  AllowThreads(before);
  return job.bad;
}

}  // namespace

TVM_FFI_DLL_EXPORT_TYPED_FUNC(weights_pack, WeightsPack);

}  // namespace openautoglm

// The inner loops of `attention`: queries against the keys and values of a cache.
//
// Keys lie in blocks of 16 positions, position fastest, so a score is a sum in its own lane. Each
// sum follows the width, each output the positions, one after the other: a query's result does not
// depend on the queries computed beside it.
#ifndef OPENAUTOGLM_KERNELS_ATTENTION_ATTENTION_H_
#define OPENAUTOGLM_KERNELS_ATTENTION_ATTENTION_H_

#include "../packed.h"
#include "../special.h"

namespace openautoglm::kernels {

// Queries that share keys: those of one key head at some positions of one slot. Borrowed, compact.
struct AttentionTile {
  const float* q;      // (queries, width)
  const void* k;       // (blocks, width, 16), f32 or bf16
  const void* v;       // (blocks, 16, width), as k
  float* out;          // (queries, width)
  float* scores;       // room for (queries, positions of the blocks looked at)
  const int64_t* first;  // by query: the first position it looks at
  const int64_t* last;   // by query: the last one
  int queries;           // at most kMostQueries
  int64_t width;
  int64_t begin;  // blocks looked at by any of them
  int64_t end;
  float scale;
};

constexpr int kMostQueries = 7;
using AttentionRun = void (*)(const AttentionTile& tile);

extern const AttentionRun kAttentionV3, kAttentionV4, kAttentionBf16V3, kAttentionBf16V4;

namespace OAG_SIMD {

template <class T>
inline constexpr bool kWholeLine = sizeof(T) == 4;  // whether 16 of them fill a cache line

// Keys and values are read once and seldom lie in a cache. A page of them is one block, and where one page ends the
// CPU's own prefetching stops, so the next blocks are asked for here.
template <class T, int kQueries, int kBlocks>
OAG_INLINE void Scores(const AttentionTile& tile, int query, int64_t block, int64_t row) {
  const float* q = tile.q + query * tile.width;
  const T* k = static_cast<const T*>(tile.k) + block * tile.width * kBlock;
  Vector<float> sum[kQueries][kBlocks * kParts] = {};
  for (int64_t d = 0; d < tile.width; ++d) {
    Vector<float> key[kBlocks * kParts];
    for (int b = 0; b < kBlocks; ++b) {
      if (kWholeLine<T> || d % 2 == 0) __builtin_prefetch(k + ((b + kBlocks) * tile.width + d) * kBlock);
      for (int p = 0; p < kParts; ++p) {
        key[b * kParts + p] = Load<T>(k + (b * tile.width + d) * kBlock + p * kLanes<float>);
      }
    }
    for (int i = 0; i < kQueries; ++i) {
      const Vector<float> value = Splat<float>(q[i * tile.width + d]);
      for (int b = 0; b < kBlocks * kParts; ++b) sum[i][b] += value * key[b];
    }
  }
  for (int i = 0; i < kQueries; ++i) {
    float* to = tile.scores + (query + i) * row + (block - tile.begin) * kBlock;
    for (int b = 0; b < kBlocks * kParts; ++b) Store<float>(to + b * kLanes<float>, sum[i][b] * tile.scale);
  }
}

// Turns a query's scores into weights that sum to one; those it does not look at become 0.
inline void Softmax(const AttentionTile& tile, int query, int64_t row) {
  constexpr int kStep = kLanes<float>;
  float* score = tile.scores + query * row;
  const int64_t low = tile.first[query] - tile.begin * kBlock;
  const int64_t high = tile.last[query] - tile.begin * kBlock + 1;
  for (int64_t i = 0; i < low; ++i) score[i] = -__builtin_inff();
  for (int64_t i = high; i < row; ++i) score[i] = -__builtin_inff();
  Vector<float> most = Splat<float>(-__builtin_inff());
  for (int64_t i = 0; i < row; i += kStep) {
    const Vector<float> value = Load<float>(score + i);
    most = (value < most) ? most : value;  // NaN, which this may lose, comes back by the sum
  }
  float peak = most[0];
  for (int i = 1; i < kStep; ++i) peak = most[i] < peak ? peak : most[i];
  Vector<float> total{};
  for (int64_t i = 0; i < row; i += kStep) {
    const Vector<float> value = Exp<float>(Load<float>(score + i) - peak);
    Store<float>(score + i, value);
    total += value;
  }
  const float inverse = 1.0F / SumOf<float>(total);
  for (int64_t i = 0; i < row; i += kStep) Store<float>(score + i, Load<float>(score + i) * inverse);
}

// Adds up values, weighted, for some queries and some vectors of the width.
template <class T, int kQueries, int kVectors>
OAG_INLINE void Mix(const AttentionTile& tile, int query, int64_t row, int64_t column, int64_t from, int64_t to) {
  const T* v = static_cast<const T*>(tile.v) + tile.begin * kBlock * tile.width + column;
  const float* score = tile.scores + query * row;
  Vector<float> sum[kQueries][kVectors] = {};
  for (int64_t t = from; t < to; ++t) {
    Vector<float> value[kVectors];
    for (int n = 0; n < kVectors; n += kWholeLine<T> ? 1 : 2) {
      __builtin_prefetch(v + (t + kBlock) * tile.width + n * kLanes<float>);
    }
    for (int n = 0; n < kVectors; ++n) value[n] = Load<T>(v + t * tile.width + n * kLanes<float>);
    for (int i = 0; i < kQueries; ++i) {
      const Vector<float> weight = Splat<float>(score[i * row + t]);
      for (int n = 0; n < kVectors; ++n) sum[i][n] += weight * value[n];
    }
  }
  for (int i = 0; i < kQueries; ++i) {
    for (int n = 0; n < kVectors; ++n) {
      Store<float>(tile.out + (query + i) * tile.width + column + n * kLanes<float>, sum[i][n]);
    }
  }
}

// Scores of blocks from one on, as many at once as the registers hold sums for; the last ones fewer at once, but never
// one chain of sums that waits for itself.
template <class T, int kQueries, int kBlocks>
OAG_INLINE void AllScores(const AttentionTile& tile, int query, int64_t block, int64_t row) {
  for (; block + kBlocks <= tile.end; block += kBlocks) Scores<T, kQueries, kBlocks>(tile, query, block, row);
  if constexpr (kBlocks > 1) {
    if (block < tile.end) AllScores<T, kQueries, kBlocks / 2>(tile, query, block, row);
  }
}

template <class T, int kQueries>
void RunQueries(const AttentionTile& tile, int query) {
  constexpr int kBlocks = BlocksOf(kQueries);
  constexpr int kVectors = OAG_VECTOR_BYTES == 64 ? 4 : kBlocks;
  const int64_t row = (tile.end - tile.begin) * kBlock;
  AllScores<T, kQueries, kBlocks>(tile, query, tile.begin, row);
  int64_t from = row, to = 0;
  for (int i = query; i < query + kQueries; ++i) {
    Softmax(tile, i, row);
    const int64_t low = tile.first[i] - tile.begin * kBlock, high = tile.last[i] - tile.begin * kBlock + 1;
    from = low < from ? low : from;
    to = high > to ? high : to;
  }
  int64_t column = 0;
  for (; column + kVectors * kLanes<float> <= tile.width; column += kVectors * kLanes<float>) {
    Mix<T, kQueries, kVectors>(tile, query, row, column, from, to);
  }
  for (; column + kLanes<float> <= tile.width; column += kLanes<float>) {
    Mix<T, kQueries, 1>(tile, query, row, column, from, to);
  }
  const int rest = static_cast<int>(tile.width - column);
  for (int i = query; rest > 0 && i < query + kQueries; ++i) {  // in a vector too: it rounds as the others do
    const T* v = static_cast<const T*>(tile.v) + tile.begin * kBlock * tile.width + column;
    Vector<float> sum{};
    for (int64_t t = from; t < to; ++t) {
      sum += Splat<float>(tile.scores[i * row + t]) * Load<T>(v + t * tile.width, 1, rest);
    }
    Store<float>(tile.out + i * tile.width + column, 1, rest, sum);
  }
}

template <class T, int kQueries>
void RunSome(const AttentionTile& tile, int query) {
  if constexpr (kQueries > 0) {
    if (tile.queries - query >= kQueries) {
      RunQueries<T, kQueries>(tile, query);
      query += kQueries;
    }
    if (query < tile.queries) RunSome<T, kQueries - 1>(tile, query);
  }
}

template <class T>
void RunAttention(const AttentionTile& tile) {
  constexpr int kMost = kMostRows < kMostQueries ? kMostRows : kMostQueries;
  int query = 0;
  for (; query + kMost <= tile.queries; query += kMost) RunQueries<T, kMost>(tile, query);
  RunSome<T, kMost - 1>(tile, query);
}

}  // namespace OAG_SIMD
}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_ATTENTION_ATTENTION_H_

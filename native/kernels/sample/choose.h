// Choosing one token of a row: which are kept, and which of those the uniform number falls on.
//
// Nothing sorts the vocabulary. What may be kept is found by the largest logits of blocks, and cut
// exactly by partial selection among those few.
#ifndef OPENAUTOGLM_KERNELS_SAMPLE_CHOOSE_H_
#define OPENAUTOGLM_KERNELS_SAMPLE_CHOOSE_H_

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <limits>
#include <vector>

#include "sample.h"

namespace openautoglm::kernels {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// What one row asks for, read and bounded.
struct SampleRow {
  float temperature = 0;
  int64_t top_k = 0;
  float top_p = 1;
  float min_p = 0;
  float repetition = 1, presence = 0, frequency = 0;
  float uniform = 0;

  bool IsGreedy() const { return !(temperature > 0); }
  bool IsNumber() const {
    const float all[] = {temperature, top_p, min_p, repetition, presence, frequency, uniform};
    return std::none_of(std::begin(all), std::end(all), [](float value) { return std::isnan(value); });
  }
};

// Room that rows of one thread share.
struct SampleRoom {
  std::vector<float> row, most, other, values, weights;
  std::vector<double> sums;
  std::vector<int32_t> ids, order;
};

class SampleChoice {
 public:
  SampleChoice(const SampleTable& table, const float* logits, int64_t count, const SampleRow& row, SampleRoom& room)
      : table_(table), logits_(logits), count_(count), row_(row), room_(room) {
    room.most.resize(static_cast<size_t>(Blocks()));
    const float temperature = std::min(std::max(row.temperature, 1e-30F), 1e30F);
    inverse_ = 1.0F / temperature;
  }

  float* blocks() { return room_.most.data(); }

  // The token, given what the scan that filled blocks() found.
  int64_t Run(const SampleScan& scan) {
    most_ = scan.most;
    top_k_ = row_.top_k > 0 && row_.top_k < count_ ? row_.top_k : 0;
    if (top_k_ == 0 && !(row_.top_p < 1) && !(row_.min_p > 0)) return DrawFromAll();
    if (row_.min_p > 1 || row_.top_p <= 0) return scan.token;
    if (top_k_ > 0) {
      Gather(KthBlock());
      KeepTopK();
    } else if (row_.top_p < 1) {
      GatherMass();
    } else {
      Gather(most_ + std::log(row_.min_p) / inverse_ * 1.001F - 1e-3F);
    }
    if (row_.top_p < 1) KeepTopP();
    KeepMinP();
    return Draw();
  }

 private:
  static constexpr int kBuckets = 4096, kBucketsOfOne = 64;
  static constexpr size_t kFew = 512;  // that need no buckets

  int64_t Blocks() const { return (count_ + kSampleBlock - 1) / kSampleBlock; }

  int64_t DrawFromAll() {
    room_.sums.resize(static_cast<size_t>(Blocks()));
    const double total = table_.sums(logits_, count_, most_, inverse_, room_.sums.data());
    const double target = row_.uniform * total;
    double sum = 0;
    int64_t last = -1;
    for (int64_t block = 0; block < Blocks(); ++block) {
      if (room_.sums[block] > 0) last = block;
      if (sum + room_.sums[block] > target) break;
      sum += room_.sums[block];
    }
    const int64_t begin = last * kSampleBlock, size = std::min(kSampleBlock, count_ - begin);
    float weights[kSampleBlock];
    table_.weights(logits_ + begin, size, most_, inverse_, weights);
    int64_t token = -1;
    for (int64_t i = 0; i < size; ++i) {
      if (!(weights[i] > 0)) continue;
      token = begin + i;
      sum += weights[i];
      if (sum > target) break;
    }
    return token;
  }

  // Some value that at least top_k logits reach.
  float KthBlock() {
    if (top_k_ > Blocks()) return kMinusInfinity;
    room_.other = room_.most;
    const auto at = room_.other.begin() + (top_k_ - 1);
    std::nth_element(room_.other.begin(), at, room_.other.end(), std::greater<float>());
    return *at;
  }

  // Collects the logits that reach a value, in order of their tokens.
  void Gather(float low) {
    room_.ids.clear();
    room_.values.clear();
    for (int64_t block = 0; block < Blocks(); ++block) {
      if (!(room_.most[block] >= low) || room_.most[block] == kMinusInfinity) continue;
      const size_t held = room_.ids.size();
      room_.ids.resize(held + kSampleBlock);
      room_.values.resize(held + kSampleBlock);
      size_t next = held;
      const int64_t begin = block * kSampleBlock, end = std::min(begin + kSampleBlock, count_);
      for (int64_t i = begin; i < end; ++i) {
        room_.ids[next] = static_cast<int32_t>(i);
        room_.values[next] = logits_[i];
        next += logits_[i] >= low ? 1 : 0;
      }
      room_.ids.resize(next);
      room_.values.resize(next);
    }
    Weigh();
  }

  void Weigh() {
    room_.weights.resize(room_.values.size());
    const auto size = static_cast<int64_t>(room_.values.size());
    table_.weights(room_.values.data(), size, most_, inverse_, room_.weights.data());
  }

  // Collects logits from the largest down until they hold the mass that top_p asks for.
  void GatherMass() {
    room_.sums.resize(static_cast<size_t>(Blocks()));
    mass_ = table_.sums(logits_, count_, most_, inverse_, room_.sums.data());
    for (const float depth : {4.0F, 9.0F}) {
      Gather(most_ - depth / inverse_);
      if (Sum() >= row_.top_p * mass_ * (1 + 1e-6)) return;
    }
    Gather(kMinusInfinity);
    mass_ = 0;  // the sum of the very numbers that are compared
  }

  double Sum() const {
    double sum = 0;
    for (const float weight : room_.weights) sum += weight;
    return sum;
  }

  // Keeps those for which `keeps(index)` holds, in order.
  template <class Keeps>
  void Filter(const Keeps& keeps) {
    size_t next = 0;
    for (size_t i = 0; i < room_.ids.size(); ++i) {
      if (!keeps(i)) continue;
      room_.ids[next] = room_.ids[i];
      room_.values[next] = room_.values[i];
      room_.weights[next] = room_.weights[i];
      ++next;
    }
    room_.ids.resize(next);
    room_.values.resize(next);
    room_.weights.resize(next);
  }

  // As many as top_k, and those as large as the last of them.
  void KeepTopK() {
    if (static_cast<int64_t>(room_.values.size()) <= top_k_) return;
    const double before = OrderLast(static_cast<double>(top_k_), [](size_t) { return 1.0; });
    const auto at = room_.order.begin() + (top_k_ - 1 - static_cast<int64_t>(before));
    std::nth_element(room_.order.begin(), at, room_.order.end(),
                     [&](int32_t a, int32_t b) { return room_.values[a] > room_.values[b]; });
    const float least = room_.values[*at];
    Filter([&](size_t i) { return room_.values[i] >= least; });
  }

  int Bucket(size_t i) const {
    const float depth = (most_ - room_.values[i]) * inverse_ * kBucketsOfOne;
    return depth < kBuckets - 1 ? static_cast<int>(depth) : kBuckets - 1;
  }

  // Puts those among which the last one kept lies into `order`, by their depth below the largest;
  // returns the mass of all above them, where the kept ones have the mass `target`.
  template <class Mass>
  double OrderLast(double target, const Mass& mass_of) {
    room_.order.clear();
    if (room_.ids.size() <= kFew) {
      for (size_t i = 0; i < room_.ids.size(); ++i) room_.order.push_back(static_cast<int32_t>(i));
      return 0;
    }
    room_.sums.assign(kBuckets, 0);
    for (size_t i = 0; i < room_.ids.size(); ++i) room_.sums[Bucket(i)] += mass_of(i);
    double before = 0;
    int bucket = 0;
    for (; bucket < kBuckets - 1 && before + room_.sums[bucket] < target; ++bucket) before += room_.sums[bucket];
    for (size_t i = 0; i < room_.ids.size(); ++i) {
      if (Bucket(i) == bucket) room_.order.push_back(static_cast<int32_t>(i));
    }
    return before;
  }

  // The fewest that hold top_p of the mass, of equals those with the lower tokens.
  void KeepTopP() {
    const double target = row_.top_p * (mass_ > 0 ? mass_ : Sum());
    const auto is_before = [&](int32_t a, int32_t b) {
      return room_.values[a] != room_.values[b] ? room_.values[a] > room_.values[b] : a < b;
    };
    double before = OrderLast(target, [&](size_t i) { return room_.weights[i]; });
    auto begin = room_.order.begin(), end = room_.order.end();  // the last one kept lies between
    while (end - begin > 1) {
      const auto middle = begin + (end - begin) / 2;
      std::nth_element(begin, middle, end, is_before);
      double upper = 0;
      for (auto i = begin; i != middle; ++i) upper += room_.weights[*i];
      if (before + upper < target) {
        before += upper;
        begin = middle;
      } else {
        end = middle;
      }
    }
    if (begin == room_.order.end()) return;
    const int32_t last = *begin;
    Filter([&, value = room_.values[last]](size_t i) {
      return room_.values[i] > value || (room_.values[i] == value && static_cast<int32_t>(i) <= last);
    });
  }

  void KeepMinP() {
    if (!(row_.min_p > 0)) return;
    Filter([&](size_t i) { return room_.weights[i] >= row_.min_p; });
  }

  int64_t Draw() const {
    const double target = row_.uniform * Sum();
    double sum = 0;
    int64_t token = -1;
    for (size_t i = 0; i < room_.ids.size(); ++i) {
      if (!(room_.weights[i] > 0)) continue;
      token = room_.ids[i];
      sum += room_.weights[i];
      if (sum > target) break;
    }
    return token;
  }

  const SampleTable& table_;
  const float* logits_;
  const int64_t count_;
  const SampleRow& row_;
  SampleRoom& room_;
  float inverse_ = 1, most_ = 0;
  int64_t top_k_ = 0;
  double mass_ = 0;  // of all tokens, where only some were collected
};

}  // namespace openautoglm::kernels

#endif  // OPENAUTOGLM_KERNELS_SAMPLE_CHOOSE_H_

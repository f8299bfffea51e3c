// Reads an array as fast as memory gives it, by one or several threads: what a step of decoding,
// which reads all weights once, cannot beat.
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace {

namespace ffi = tvm::ffi;

constexpr int64_t kLanes = 32;  // independent sums: more than the loads under way at once

uint64_t Sum(const uint64_t* begin, int64_t count) {
  uint64_t lanes[kLanes] = {};
  for (int64_t i = 0; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += begin[i + lane];
    }
  }
  uint64_t sum = 0;
  for (uint64_t lane : lanes) {
    sum += lane;
  }
  return sum;
}

// Returns the sum, so that no compiler may leave the reading out. `x` is i64 and is borrowed.
int64_t ReadMemory(ffi::TensorView x, int64_t threads) {
  const uint64_t* begin = static_cast<const uint64_t*>(x.data_ptr());
  const int64_t part = x.numel() / threads;
  std::vector<uint64_t> sums(threads);
  std::vector<std::thread> others;
  for (int64_t i = 1; i < threads; ++i) {
    others.emplace_back([=, &sums] { sums[i] = Sum(begin + i * part, part); });
  }
  sums[0] = Sum(begin, part);
  for (std::thread& other : others) {
    other.join();
  }
  uint64_t sum = 0;
  for (uint64_t one : sums) {
    sum += one;
  }
  return static_cast<int64_t>(sum);
}

}  // namespace

TVM_FFI_DLL_EXPORT_TYPED_FUNC(read_memory, ReadMemory);

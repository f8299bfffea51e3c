// Reads an array as fast as memory gives it, by one or several threads: what a step of decoding,
// which reads all weights once, cannot beat.
#include <tvm/ffi/container/tensor.h>
#include <tvm/ffi/function.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace {

namespace ffi = tvm::ffi;

typedef uint64_t Four __attribute__((vector_size(32)));
constexpr int64_t kSums = 4;  // independent, so that loads need not wait for additions

uint64_t Sum(const uint64_t* begin, int64_t count) {
  const Four* x = reinterpret_cast<const Four*>(begin);
  Four sums[kSums] = {};
  for (int64_t i = 0; i + kSums <= count / 4; i += kSums) {
    for (int64_t sum = 0; sum < kSums; ++sum) {
      sums[sum] += x[i + sum];
    }
  }
  const Four all = sums[0] + sums[1] + sums[2] + sums[3];
  return all[0] + all[1] + all[2] + all[3];
}

// Returns the sum, so that no compiler may leave the reading out. `x` is i64, begins at a multiple
// of 64 bytes and is borrowed.
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

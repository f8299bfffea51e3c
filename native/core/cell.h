// The kernel table of one operator: which function serves which device and dtypes, replaceable while calls run.
//
// A call takes a reference on the current snapshot, so a replaced kernel library stays mapped until its last call has
// returned and not longer. Publishing is one pointer store under a lock that is held for a few instructions.
#ifndef OPENAUTOGLM_CORE_CELL_H_
#define OPENAUTOGLM_CORE_CELL_H_

#include <tvm/ffi/tvm_ffi.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "shape.h"

namespace openautoglm {

constexpr int kMaxInputs = 15;   // one byte of the key each, beside the device
constexpr int kMaxOutputs = 6;
constexpr int kMaxArguments = 32;
constexpr int kMaxKernels = 64;

// Device and the dtypes of all tensor inputs; one byte each.
struct Key {
  uint64_t low = 0;
  uint64_t high = 0;

  void Add(uint8_t byte) {
    high = (high << 8) | (low >> 56);
    low = (low << 8) | byte;
  }
  bool operator==(const Key& other) const { return low == other.low && high == other.high; }
};

constexpr uint8_t kAbsent = 0xFF;

// Five bits of DLPack code, three of log2(bits): distinct for every dtype of one lane.
inline uint8_t DtypeByte(DLDataType dtype) {
  int log2 = 0;
  while ((1 << log2) < dtype.bits && log2 < 7) ++log2;
  return static_cast<uint8_t>((dtype.code << 3) | log2);
}

// A function written in Python needs arrays that own what they show: tvm-ffi would hand it a pointer that crashes.
enum EntryFlag : int { kWantsContiguous = 1, kCallsPython = 2 };

struct Entry {
  Key key;
  tvm::ffi::Function function;  // owned: keeps the library mapped
  TVMFFISafeCallType call = nullptr;
  void* self = nullptr;
  int flags = 0;
  int counter = 0;
};

struct Snapshot {
  std::vector<Entry> entries;
  std::atomic<int64_t> references{1};  // one of the cell, one of each call in flight

  const Entry* Find(const Key& key) const {
    for (const Entry& e : entries) {
      if (e.key == key) return &e;
    }
    return nullptr;
  }
};

enum class Rule { kLike, kBroadcast, kShape };

struct OutputRule {
  Rule rule = Rule::kLike;
  int like = 0;
  std::vector<int> inputs;   // of a broadcast
  Pattern pattern;           // of a shape
  int dtype_input = 0;       // whose dtype, or -1
  DLDataType dtype{};        // where dtype_input is -1
};

struct Signature {
  std::string name;
  std::string kinds;  // one of T ? f i b s for each argument, inputs first
  int inputs = 0;
  std::vector<Pattern> patterns;  // one for each input
  std::vector<OutputRule> outputs;
  int output_count = 1;
  bool always_slow = false;  // shapes that only Python can tell, list inputs
};

// What a call is made of: views the caller owns, arguments in the order of the kernel.
struct Call {
  DLTensor* tensors[kMaxInputs] = {};  // null where absent
  Key key;
  Bindings bound;
  bool contiguous = true;
  bool same_device = true;
};

class Cell {
 public:
  explicit Cell(Signature signature) : signature_(std::move(signature)), current_(new Snapshot) {}
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;

  const Signature& signature() const { return signature_; }
  bool is_slow() const { return slow_.load(std::memory_order_acquire) > 0; }
  void AddSlow(int delta) { slow_.fetch_add(delta, std::memory_order_acq_rel); }
  void Count(int counter) { counts_[counter].fetch_add(1, std::memory_order_relaxed); }
  int64_t CountOf(int counter) const { return counts_[counter].load(std::memory_order_relaxed); }

  // Takes a reference the caller gives back with Release.
  Snapshot* Acquire();
  static void Release(Snapshot* snapshot);
  // Replaces the snapshot and returns its number, counted from 1.
  int64_t Publish(std::unique_ptr<Snapshot> next);

  // Fills `key`, `bound` and the flags of a call whose tensors are set; false where the slow way is needed.
  bool Prepare(Call* call) const;

 private:
  void Lock();
  void Unlock() { lock_.clear(std::memory_order_release); }

  const Signature signature_;
  std::atomic_flag lock_ = ATOMIC_FLAG_INIT;
  Snapshot* current_;  // guarded by lock_
  int64_t generation_ = 0;
  std::atomic<int> slow_{0};
  std::atomic<int64_t> counts_[kMaxKernels] = {};
};

// Returns the cell of an id; throws ValueError for an unknown one. Cells live as long as the process.
Cell* CellOf(int64_t id);
int64_t NewCell(Signature signature);
Signature ParseSignature(const std::string& json);

// Moves the error that a kernel raised out of tvm-ffi.
struct KernelError {
  std::string kind;
  std::string message;
};
KernelError TakeError();

// Moves it out as the text that `torch_bridge/failures.py` reads.
std::string KernelFailure(const Signature& signature);

enum class Entered { kDone, kRefused, kFailed };

// Runs the kernel that takes these arguments, outputs among them, as they are; `args` are as many as the signature
// has, and views only where `are_views`. The kernel's error waits in tvm-ffi where it failed.
Entered EnterDoor(Cell* cell, const TVMFFIAny* args, bool are_views, TVMFFIAny* result);

}  // namespace openautoglm

#endif  // OPENAUTOGLM_CORE_CELL_H_

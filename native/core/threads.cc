#include "threads.h"

#include <pthread.h>
#include <tvm/ffi/tvm_ffi.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace openautoglm {

namespace ffi = tvm::ffi;

namespace {

constexpr int kMostThreads = 256;
constexpr int kPiecesPerThread = 4;
constexpr int kSpins = 4000;        // tens of microseconds: the next kernel of a decoder comes sooner
constexpr int kSpinsPerYield = 64;  // the thread that is waited for may be waiting for this one's core

void Pause(int spins) {
  if (spins % kSpinsPerYield == kSpinsPerYield - 1) {
    std::this_thread::yield();
    return;
  }
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Which piece is next: the job's number, its pieces, and how many of them are taken. In one word, so that a thread that
// comes late cannot take a piece of a job it did not read.
struct Ticket {
  uint64_t word;

  static Ticket Of(uint64_t job, int pieces) { return {job << 32 | static_cast<uint64_t>(pieces) << 16}; }
  uint64_t job() const { return word >> 32; }
  int pieces() const { return static_cast<int>(word >> 16 & 0xffff); }
  int taken() const { return static_cast<int>(word & 0xffff); }
};

thread_local int allowed = 1;

class Pool {
 public:
  // False where another thread's job runs, which then is not waited for.
  bool Run(int threads, int pieces, int64_t count, ParallelBody body, void* context) {
    std::unique_lock<std::mutex> alone(running_, std::try_to_lock);
    if (!alone.owns_lock()) return false;
    Start(threads - 1);
    wanted_.store(threads - 1, std::memory_order_relaxed);
    body_.store(body, std::memory_order_relaxed);
    context_.store(context, std::memory_order_relaxed);
    count_.store(count, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    ticket_.store(Ticket::Of(++job_, pieces).word, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> guard(sleep_);
      wake_.notify_all();
    }
    const int before = std::exchange(allowed, 1);  // a kernel within a piece works alone
    Work(-1);
    allowed = before;
    for (int spins = 0; done_.load(std::memory_order_acquire) < pieces; ++spins) Pause(spins);
    return true;
  }

 private:
  void Start(int helpers) {
    try {
      for (; helpers_ < helpers; ++helpers_) std::thread([this, number = helpers_] { Help(number); }).detach();
    } catch (const std::system_error&) {  // the system gives no more threads: those there are do it
    }
  }

  // The job may change between two pieces, so each piece is taken as the job's own fields say: as long as the ticket
  // is the one that was read, its job is not over and they are not written.
  void Work(int number) {
    for (;;) {
      Ticket ticket{ticket_.load(std::memory_order_acquire)};
      if (ticket.taken() >= ticket.pieces() || number >= wanted_.load(std::memory_order_relaxed)) return;
      const ParallelBody body = body_.load(std::memory_order_relaxed);
      void* const context = context_.load(std::memory_order_relaxed);
      const int64_t count = count_.load(std::memory_order_relaxed);
      if (!ticket_.compare_exchange_weak(ticket.word, ticket.word + 1, std::memory_order_acq_rel)) continue;
      const int64_t piece = ticket.taken();
      body(context, count * piece / ticket.pieces(), count * (piece + 1) / ticket.pieces());
      done_.fetch_add(1, std::memory_order_release);
    }
  }

  void Help(int number) {
    uint64_t seen = 0;
    for (;;) {
      AwaitJobAfter(seen);
      seen = Ticket{ticket_.load(std::memory_order_acquire)}.job();
      Work(number);
    }
  }

  bool IsOver(uint64_t seen) const { return Ticket{ticket_.load(std::memory_order_seq_cst)}.job() == seen; }

  void AwaitJobAfter(uint64_t seen) {
    for (int spins = 0; spins < kSpins; ++spins) {
      if (!IsOver(seen)) return;
      Pause(spins);
    }
    std::unique_lock<std::mutex> guard(sleep_);
    sleeping_.fetch_add(1, std::memory_order_seq_cst);
    wake_.wait(guard, [&] { return !IsOver(seen); });
    sleeping_.fetch_sub(1, std::memory_order_seq_cst);
  }

  std::mutex running_;  // held by the thread whose job runs
  uint64_t job_ = 0;    // guarded by running_
  int helpers_ = 0;     // guarded by running_
  std::atomic<ParallelBody> body_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<int64_t> count_{0};
  std::atomic<int> done_{0};
  std::atomic<int> wanted_{0};  // helpers that the job may have; an earlier one may have had more
  std::atomic<uint64_t> ticket_{0};
  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<int> sleeping_{0};
};

// A forked child has none of its parent's threads, so it makes a pool of its own. Never freed: helpers outlive statics.
Pool*& CurrentPool() {
  static Pool* pool = [] {
    pthread_atfork(nullptr, nullptr, [] { CurrentPool() = new Pool; });
    return new Pool;
  }();
  return pool;
}

int64_t ThreadsAllow(int64_t count) { return AllowThreads(static_cast<int>(count)); }

}  // namespace

int AllowThreads(int count) {
  const int before = allowed;
  allowed = std::clamp(count, 1, kMostThreads);
  return before;
}

void RunParallel(int64_t count, int64_t least, ParallelBody body, void* context) {
  if (count <= 0) return;
  const int64_t fits = least > 0 ? (count + least - 1) / least : count;
  const int pieces = static_cast<int>(std::min<int64_t>(fits, allowed * kPiecesPerThread));
  if (allowed == 1 || pieces <= 1 ||
      !CurrentPool()->Run(std::min(allowed, pieces), pieces, count, body, context)) {
    body(context, 0, count);
  }
}

TVM_FFI_DLL_EXPORT_TYPED_FUNC(threads_allow, ThreadsAllow);

// What `parallel.h` asks for by name, so that any kernel library finds it without being linked to it.
int64_t ThreadsOffer() {
  ffi::Function::SetGlobal(
      "openautoglm.parallel",
      ffi::Function::FromTyped([]() -> void* { return reinterpret_cast<void*>(&RunParallel); }), true);
  return 0;
}
TVM_FFI_DLL_EXPORT_TYPED_FUNC(threads_offer, ThreadsOffer);

}  // namespace openautoglm

// Work split over the threads that the caller allows.
//
//   ParallelFor(rows, 64, [&](int64_t begin, int64_t end) { ... });  // ranges of about 64 rows or more
//
// The threads are those of the host process, shared by every library, and end with it. A kernel
// that is called where no threads were allowed, or by itself without a host, runs on its own
// thread. The body is called on each range once, from several threads at once. Where it throws, the
// other ranges are worked on all the same, and ParallelFor throws the first error then.
#ifndef OPENAUTOGLM_PARALLEL_H_
#define OPENAUTOGLM_PARALLEL_H_

#include <openautoglm/abi.h>

#include <atomic>
#include <exception>

namespace openautoglm {

// Crosses from library to library, so it must not throw.
using ParallelBody = void (*)(void* context, int64_t begin, int64_t end);
// Calls the body on ranges that make up [0, count), as many as have `least` on average, or fewer.
using ParallelRun = void (*)(int64_t count, int64_t least, ParallelBody body, void* context);

namespace detail {

inline void RunHere(int64_t count, int64_t, ParallelBody body, void* context) {
  if (count > 0) body(context, 0, count);
}

// Asks the host once for its threads.
inline ParallelRun FindThreads() {
  const TVMFFIByteArray name{"openautoglm.parallel", 20};
  TVMFFIObjectHandle function = nullptr;
  if (TVMFFIFunctionGetGlobal(&name, &function) != 0 || function == nullptr) return RunHere;
  TVMFFIAny result{};
  const int failed = TVMFFIFunctionCall(function, nullptr, 0, &result);
  TVMFFIObjectDecRef(function);
  if (failed != 0 || result.type_index != kTVMFFIOpaquePtr) return RunHere;
  return reinterpret_cast<ParallelRun>(result.v_ptr);
}

// A body whose error waits for the thread that asked.
template <typename Body>
class Guarded {
 public:
  explicit Guarded(const Body& body) : body_(body) {}

  static void Run(void* context, int64_t begin, int64_t end) {
    auto* guarded = static_cast<Guarded*>(context);
    try {
      guarded->body_(begin, end);
    } catch (...) {
      if (!guarded->has_failed_.test_and_set()) guarded->error_ = std::current_exception();
    }
  }

  void Finish() const {
    if (error_ != nullptr) std::rethrow_exception(error_);
  }

 private:
  const Body& body_;
  std::atomic_flag has_failed_ = ATOMIC_FLAG_INIT;
  std::exception_ptr error_;  // written by whoever set the flag
};

}  // namespace detail

template <typename Body>
void ParallelFor(int64_t count, int64_t least, const Body& body) {
  static const ParallelRun run = detail::FindThreads();
  detail::Guarded<Body> guarded(body);
  (count <= least ? detail::RunHere : run)(count, least, &detail::Guarded<Body>::Run, &guarded);
  guarded.Finish();
}

}  // namespace openautoglm

#endif  // OPENAUTOGLM_PARALLEL_H_

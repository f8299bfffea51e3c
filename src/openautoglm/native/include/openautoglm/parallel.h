// Work split over the threads that the caller allows.
//
//   ParallelFor(rows, 64, [&](int64_t begin, int64_t end) { ... });  // ranges of 64 rows or more
//
// The threads are those of the host process, shared by every library, and end with it. A kernel
// that is called where no threads were allowed, or by itself without a host, runs on its own
// thread. The body is called on each range once, from several threads at once; it must not throw.
#ifndef OPENAUTOGLM_PARALLEL_H_
#define OPENAUTOGLM_PARALLEL_H_

#include <openautoglm/abi.h>

namespace openautoglm {

using ParallelBody = void (*)(void* context, int64_t begin, int64_t end);
// Calls the body on ranges that make up [0, count), each of `least` or more but for the last.
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

}  // namespace detail

template <typename Body>
void ParallelFor(int64_t count, int64_t least, const Body& body) {
  static const ParallelRun run = detail::FindThreads();
  const ParallelBody call = [](void* context, int64_t begin, int64_t end) {
    (*static_cast<const Body*>(context))(begin, end);
  };
  (count <= least ? detail::RunHere : run)(count, least, call, const_cast<Body*>(&body));
}

}  // namespace openautoglm

#endif  // OPENAUTOGLM_PARALLEL_H_

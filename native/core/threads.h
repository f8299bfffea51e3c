// The threads that kernels split their work over: one pool for the process, made when first used.
//
// A thread that calls kernels says how many it allows; one that said nothing works alone. Work is cut into more pieces
// than threads and taken piece by piece, so that a thread the system does not run holds nobody up.
#ifndef OPENAUTOGLM_CORE_THREADS_H_
#define OPENAUTOGLM_CORE_THREADS_H_

#include <cstdint>

namespace openautoglm {

// What `parallel.h` declares for kernels.
using ParallelBody = void (*)(void* context, int64_t begin, int64_t end);

// Says how many threads the calling thread's kernels may use, itself included; returns what it was.
int AllowThreads(int count);

void RunParallel(int64_t count, int64_t least, ParallelBody body, void* context);

}  // namespace openautoglm

#endif  // OPENAUTOGLM_CORE_THREADS_H_

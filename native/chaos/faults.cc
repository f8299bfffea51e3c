// Faults of disks and clocks for one process, for acceptance tests: preloaded (LD_PRELOAD), it stands between a program
// and the C library. A file that the environment names says which fault is on and until when (see `Board`, and
// openautoglm/jobs/chaos/board.py, which writes it); without that file every call is passed on as it is.
//
// Not covered: calls that bypass the C library's symbols (its own stdio, io_uring, memory that is mapped), reads, and
// waits of C libraries until a time of the wall clock, other than those for semaphores.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

#define OAG_EXPORT extern "C" __attribute__((visibility("default")))
// The function of that name which this one stands in front of.
#define OAG_NEXT(name) \
  static const auto next = reinterpret_cast<decltype(&name)>(dlsym(RTLD_NEXT, #name))

namespace {

constexpr const char* kVariable = "OPENAUTOGLM_CHAOS_BOARD";
constexpr int64_t kSecond = 1000000000;

// What the file holds, of 4096 bytes. Times count nanoseconds of CLOCK_MONOTONIC.
struct Board {
  std::atomic<int64_t> disk_until;
  std::atomic<int64_t> disk_errno;  // ENOSPC also makes writes short before they fail
  std::atomic<int64_t> clock_until;
  std::atomic<int64_t> clock_shift;  // nanoseconds
  std::atomic<int64_t> disk_met;     // calls that failed; this and those below are counted here
  std::atomic<int64_t> clock_met;    // times that were told wrong
  std::atomic<int64_t> lock_met;     // locks on files of these places that another process had
  std::atomic<int64_t> port;         // of IPv4, where nobody listens now; 0 for none
  std::atomic<int64_t> port_met;     // connections that were begun to it
  char places[4096 - 9 * sizeof(int64_t)];  // beginnings of absolute paths, a newline behind each
};
static_assert(sizeof(Board) == 4096, "board.py writes it");

Board* board = nullptr;  // null: no fault, ever

// By system calls alone: this file's own functions must not be met here.
__attribute__((constructor)) void Open() {
  const char* path = getenv(kVariable);
  if (path == nullptr) return;
  const long file = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  if (file < 0) return;
  void* found = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, static_cast<int>(file), 0);
  syscall(SYS_close, file);
  if (found != MAP_FAILED) board = static_cast<Board*>(found);
}

bool IsOn(const std::atomic<int64_t>& until) {
  const int64_t ends = until.load(std::memory_order_relaxed);
  if (ends == 0) return false;
  timespec now;
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec < ends;
}

// Whether a path, which need not end in a null, begins as one of the places.
bool IsHit(const char* path, size_t length) {
  const char* place = board->places;
  for (const char* end; (end = strchr(place, '\n')) != nullptr; place = end + 1) {
    const size_t size = static_cast<size_t>(end - place);
    if (size <= length && memcmp(place, path, size) == 0) return true;
  }
  return false;
}

bool IsHitFile(int file) {
  char name[32], path[PATH_MAX];
  snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
  const ssize_t length = readlink(name, path, sizeof(path));
  return length > 0 && IsHit(path, static_cast<size_t>(length));
}

bool IsHitPath(int folder, const char* path) {
  if (path == nullptr) return false;
  if (path[0] == '/') return IsHit(path, strlen(path));
  char name[32] = "/proc/self/cwd", whole[2 * PATH_MAX];
  if (folder != AT_FDCWD) snprintf(name, sizeof(name), "/proc/self/fd/%d", folder);
  const ssize_t length = readlink(name, whole, PATH_MAX);
  if (length <= 0 || strlen(path) >= PATH_MAX) return false;
  const int more = snprintf(whole + length, sizeof(whole) - static_cast<size_t>(length), "/%s", path);
  return IsHit(whole, static_cast<size_t>(length + more));
}

bool IsDiskOut() { return board != nullptr && IsOn(board->disk_until); }

// Sets errno and returns what fails.
int Fail() {
  board->disk_met.fetch_add(1, std::memory_order_relaxed);
  errno = static_cast<int>(board->disk_errno.load(std::memory_order_relaxed));
  return -1;
}

// How many bytes of a write go through: all, half of them on a disk that is about to be full, or none.
size_t Room(int file, size_t size) {
  if (!IsDiskOut() || !IsHitFile(file)) return size;
  return board->disk_errno.load(std::memory_order_relaxed) == ENOSPC ? size / 2 : 0;
}

bool FailsFile(int file) { return IsDiskOut() && IsHitFile(file); }

bool FailsPath(int folder, const char* path) { return IsDiskOut() && IsHitPath(folder, path); }

// A file that is there can be opened on a full disk; none can be made.
bool FailsOpen(int folder, const char* path, int flags) {
  if (!IsDiskOut()) return false;
  const bool is_nameless = (flags & O_TMPFILE) == O_TMPFILE;
  if (!is_nameless && !(flags & O_CREAT)) return false;
  struct stat unused;
  if (!is_nameless && fstatat(folder, path, &unused, AT_SYMLINK_NOFOLLOW) == 0) return false;
  return IsHitPath(folder, path);
}

int64_t Shift() {
  if (board == nullptr || !IsOn(board->clock_until)) return 0;
  board->clock_met.fetch_add(1, std::memory_order_relaxed);
  return board->clock_shift.load(std::memory_order_relaxed);
}

void Add(timespec* time, int64_t nanoseconds) {
  const int64_t whole = time->tv_sec * kSecond + time->tv_nsec + nanoseconds;
  time->tv_sec = whole / kSecond;
  time->tv_nsec = whole % kSecond;
}

}  // namespace

#define OAG_WRITE(name, parameters, arguments)                            \
  OAG_EXPORT ssize_t name parameters {                                    \
    OAG_NEXT(name);                                                       \
    const size_t room = Room(file, size);                                 \
    if (room == 0 && size > 0) return Fail();                             \
    size = room;                                                          \
    return next arguments;                                                \
  }
OAG_WRITE(write, (int file, const void* from, size_t size), (file, from, size))
OAG_WRITE(pwrite, (int file, const void* from, size_t size, off_t at), (file, from, size, at))
OAG_WRITE(pwrite64, (int file, const void* from, size_t size, off64_t at), (file, from, size, at))

#define OAG_FILE(type, name, parameters, arguments) \
  OAG_EXPORT type name parameters {                 \
    OAG_NEXT(name);                                 \
    return FailsFile(file) ? Fail() : next arguments; \
  }
OAG_FILE(ssize_t, writev, (int file, const iovec* parts, int count), (file, parts, count))
OAG_FILE(ssize_t, pwritev, (int file, const iovec* parts, int count, off_t at), (file, parts, count, at))
OAG_FILE(ssize_t, pwritev64, (int file, const iovec* parts, int count, off64_t at), (file, parts, count, at))
OAG_FILE(int, fsync, (int file), (file))
OAG_FILE(int, fdatasync, (int file), (file))
OAG_FILE(int, ftruncate, (int file, off_t size), (file, size))
OAG_FILE(int, ftruncate64, (int file, off64_t size), (file, size))
OAG_FILE(int, fallocate, (int file, int mode, off_t at, off_t size), (file, mode, at, size))
OAG_FILE(int, fallocate64, (int file, int mode, off64_t at, off64_t size), (file, mode, at, size))

#define OAG_PATH(name, parameters, folder, path, arguments)         \
  OAG_EXPORT int name parameters {                                  \
    OAG_NEXT(name);                                                 \
    return FailsPath(folder, path) ? Fail() : next arguments;       \
  }
OAG_PATH(rename, (const char* from, const char* to), AT_FDCWD, to, (from, to))
OAG_PATH(link, (const char* from, const char* to), AT_FDCWD, to, (from, to))
OAG_PATH(mkdir, (const char* path, mode_t mode), AT_FDCWD, path, (path, mode))
OAG_PATH(renameat, (int of, const char* from, int in, const char* to), in, to, (of, from, in, to))
OAG_PATH(linkat, (int of, const char* from, int in, const char* to, int flags), in, to, (of, from, in, to, flags))
OAG_PATH(mkdirat, (int in, const char* path, mode_t mode), in, path, (in, path, mode))

#define OAG_OPEN(name, parameters, folder, arguments)            \
  OAG_EXPORT int name parameters {                               \
    OAG_NEXT(name);                                              \
    va_list more;                                                \
    va_start(more, flags);                                       \
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                \
    return FailsOpen(folder, path, flags) ? Fail() : next arguments; \
  }
OAG_OPEN(open, (const char* path, int flags, ...), AT_FDCWD, (path, flags, mode))
OAG_OPEN(open64, (const char* path, int flags, ...), AT_FDCWD, (path, flags, mode))
OAG_OPEN(openat, (int in, const char* path, int flags, ...), in, (in, path, flags, mode))
OAG_OPEN(openat64, (int in, const char* path, int flags, ...), in, (in, path, flags, mode))

// Fails nothing: counts who found a lock taken.
#define OAG_LOCK(name)                                                                             \
  OAG_EXPORT int name(int file, int command, ...) {                                                \
    OAG_NEXT(name);                                                                                \
    va_list more;                                                                                  \
    va_start(more, command);                                                                       \
    void* argument = va_arg(more, void*);                                                          \
    va_end(more);                                                                                  \
    const int result = next(file, command, argument);                                              \
    if (result != 0 && command == F_SETLK && board != nullptr && (errno == EAGAIN || errno == EACCES)) { \
      const int error = errno;                                                                     \
      if (IsHitFile(file)) board->lock_met.fetch_add(1, std::memory_order_relaxed);                \
      errno = error;                                                                               \
    }                                                                                              \
    return result;                                                                                 \
  }
OAG_LOCK(fcntl)
OAG_LOCK(fcntl64)

// Fails nothing: counts who knocks where nobody is.
OAG_EXPORT int connect(int socket, const sockaddr* address, socklen_t size) {
  OAG_NEXT(connect);
  if (board != nullptr && size >= sizeof(sockaddr_in) && address->sa_family == AF_INET) {
    const int64_t port = ntohs(reinterpret_cast<const sockaddr_in*>(address)->sin_port);
    if (port == board->port.load(std::memory_order_relaxed)) board->port_met.fetch_add(1, std::memory_order_relaxed);
  }
  return next(socket, address, size);
}

OAG_EXPORT int clock_gettime(clockid_t clock, timespec* time) noexcept {
  OAG_NEXT(clock_gettime);
  const int result = next(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) Add(time, Shift());
  return result;
}

OAG_EXPORT int gettimeofday(timeval* time, void* zone) noexcept {
  OAG_NEXT(gettimeofday);
  const int result = next(time, zone);
  if (result == 0) time->tv_sec += Shift() / kSecond;
  return result;
}

OAG_EXPORT time_t time(time_t* out) noexcept {
  OAG_NEXT(time);
  const time_t now = next(nullptr) + Shift() / kSecond;
  if (out != nullptr) *out = now;
  return now;
}

// The system's clock did not jump: who waits until a time of ours means another one of its.
OAG_EXPORT int sem_timedwait(sem_t* semaphore, const timespec* until) {
  OAG_NEXT(sem_timedwait);
  timespec real = *until;
  Add(&real, -Shift());
  return next(semaphore, &real);
}

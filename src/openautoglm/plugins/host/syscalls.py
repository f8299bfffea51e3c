"""The system calls that a confined worker may make, by name, with their numbers on each processor.

What is not listed here is refused. Numbers: the kernel's headers `asm/unistd_64.h` (x86-64) and
`asm-generic/unistd.h` (aarch64); `-` where a processor has no such call.
Knows nothing of filters: `seccomp` writes those.
"""

from __future__ import annotations

from typing import Final, Literal

Machine = Literal["x86_64", "aarch64"]

# Calls that cannot reach beyond the process whatever their arguments are, that work on
# descriptors the worker holds, or on paths, which Landlock judges.
_FREE: Final = """
read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69
pwritev:296:70 preadv2:327:286 pwritev2:328:287 lseek:8:62 sendfile:40:71
copy_file_range:326:285 close:3:57 close_range:436:436 dup:32:23 dup2:33:- dup3:292:24
pipe:22:- pipe2:293:59 poll:7:- ppoll:271:73 select:23:- pselect6:270:72 epoll_create:213:-
epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:- epoll_pwait:281:22
epoll_pwait2:441:441 eventfd:284:- eventfd2:290:19 timerfd_create:283:85
timerfd_settime:286:86 timerfd_gettime:287:87 fsync:74:82 fdatasync:75:83 ftruncate:77:46
fallocate:285:47 flock:73:32 fadvise64:221:223 getdents:78:- getdents64:217:61 getcwd:79:17
chdir:80:49 fchdir:81:50 stat:4:- lstat:6:- fstat:5:80 newfstatat:262:79 statx:332:291
access:21:- faccessat:269:48 faccessat2:439:439 readlink:89:- readlinkat:267:78 mkdir:83:-
mkdirat:258:34 rmdir:84:- unlink:87:- unlinkat:263:35 rename:82:- renameat:264:38
renameat2:316:276 link:86:- linkat:265:37 umask:95:166 munmap:11:215 mremap:25:216
madvise:28:233 brk:12:214 msync:26:227 mincore:27:232 membarrier:324:283 mprotect:10:226
rseq:334:293 set_robust_list:273:99 set_tid_address:218:96 futex:202:98 futex_waitv:449:449
futex_wake:454:454 futex_wait:455:455 futex_requeue:456:456 sched_yield:24:124
sched_getaffinity:204:123 sched_getscheduler:145:120 sched_getparam:143:121
sched_get_priority_max:146:125 sched_get_priority_min:147:126 getcpu:309:168
map_shadow_stack:453:- clock_gettime:228:113 clock_getres:229:114 clock_nanosleep:230:115
nanosleep:35:101 gettimeofday:96:169 time:201:- times:100:153 getitimer:36:102
setitimer:38:103 alarm:37:- getpid:39:172 getppid:110:173 gettid:186:178 getuid:102:174
geteuid:107:175 getgid:104:176 getegid:108:177 getresuid:118:148 getresgid:120:150
getgroups:115:158 getpgrp:111:- uname:63:160 sysinfo:99:179 getrusage:98:165
getrandom:318:278 getrlimit:97:163 rt_sigaction:13:134 rt_sigprocmask:14:135
rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigtimedwait:128:137 rt_sigsuspend:130:133
sigaltstack:131:132 pause:34:- restart_syscall:219:128 exit:60:93 exit_group:231:94
wait4:61:260 waitid:247:95 sendmsg:46:211 recvmsg:47:212 recvfrom:45:207 shutdown:48:210
getsockname:51:204 getpeername:52:205 getsockopt:55:209
"""

# Calls that are judged by their arguments.
_JUDGED: Final = """
open:2:- openat:257:56 mmap:9:222 memfd_create:319:279 sendto:44:206 setsockopt:54:208
socketpair:53:199 fcntl:72:25 ioctl:16:29 prctl:157:167 arch_prctl:158:- prlimit64:302:261
kill:62:129 tgkill:234:131 clone:56:220 clone3:435:435
"""

NEWEST: Final = 456
"""Highest number in the tables; calls that are newer answer ENOSYS, as on an older kernel."""

COLUMNS: Final[tuple[Machine, ...]] = ("x86_64", "aarch64")


def free(machine: Machine) -> dict[str, int]:
    """Return the calls allowed with any arguments."""
    return _numbers(_FREE, machine)


def judged(machine: Machine) -> dict[str, int]:
    """Return the calls whose arguments decide."""
    return _numbers(_JUDGED, machine)


def _numbers(table: str, machine: Machine) -> dict[str, int]:
    column = 1 + COLUMNS.index(machine)
    rows = (entry.split(":") for entry in table.split())
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}

"""L1 and L2: what a worker gives up, for good, before it runs a plugin's code.

`supported()` says what this kernel offers; `Sandbox(...).apply()` confines the calling process.
L1 sets limits of resources. L2 adds Landlock, the list of system calls, no capabilities, no
network, a scrubbed environment and a scratch folder. Where a part is missing, L2 is refused:
nothing weaker is ever called a sandbox.

It confines what code can reach, not what it does: a confined plugin may run any machine code,
burn its processor time, send its host wrong answers, and learn by `stat` which files exist.
docs/isolation.md lists what is not guarded against. Knows nothing of calls and supervisors.
"""

from __future__ import annotations

import fcntl
import os
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from openautoglm.errors import SandboxUnavailableError
from openautoglm.plugins.host import kernel, landlock, seccomp
from openautoglm.plugins.host.landlock import READ, WORK, Right, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openautoglm.plugins.host.limits import ResourceLimits

Level = Literal["L1", "L2"]

_SYSTEM_FOLDERS: Final = (  # shared libraries, time zones, what processor this is; no settings
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/sys/devices/system/cpu",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/self/maps",
    "/proc/self/stat",
    "/proc/self/statm",
    "/proc/self/status",
    "/dev/urandom",
)
_PACKAGES: Final = frozenset({"site-packages", "dist-packages"})
_KEPT_VARIABLES: Final = frozenset(
    {
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "TZ",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """What this kernel offers.

    Attributes:
        sandbox: whether L2 can be had.
        reasons: why not, one sentence each.
        machine: the processor.
        landlock_abi: 0 where there is none.
        seccomp: whether the kernel takes filters of system calls.
        memfd_seals: whether memory can be handed out that the receiver cannot write.
    """

    sandbox: bool
    reasons: tuple[str, ...]
    machine: str
    landlock_abi: int
    seccomp: bool
    memfd_seals: bool

    @classmethod
    def judge(
        cls, *, machine: str, landlock_abi: int, has_seccomp: bool, has_seals: bool
    ) -> Support:
        """Decide from facts alone whether L2 can be had."""
        reasons = []
        if machine not in {"x86_64", "aarch64"}:
            reasons.append(f"there is no table of system calls for {machine}")
        if landlock_abi < 1:
            reasons.append("the kernel has no Landlock (Linux 5.13 and later, lsm=landlock)")
        if not has_seccomp:
            reasons.append("the kernel takes no seccomp filters")
        return cls(
            sandbox=not reasons,
            reasons=tuple(reasons),
            machine=machine,
            landlock_abi=landlock_abi,
            seccomp=has_seccomp,
            memfd_seals=has_seals,
        )


@cache
def supported() -> Support:
    """Ask the kernel once what it offers.

    Example:
        >>> supported().sandbox == (not supported().reasons)
        True
    """
    return Support.judge(
        machine=seccomp.machine() or os.uname().machine,
        landlock_abi=landlock.kernel_abi(),
        has_seccomp=seccomp.is_available(),
        has_seals=_has_seals(),
    )


def _has_seals() -> bool:
    if not hasattr(os, "memfd_create"):
        return False
    descriptor = os.memfd_create("probe", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0x10)  # F_SEAL_FUTURE_WRITE, Linux 5.1
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What one worker keeps.

    Attributes:
        level: "L1" sets the limits only.
        limits: what it may use up.
        scratch: the one folder it may write; becomes its HOME, TMPDIR and working folder.
        readable: folders and files beside Python's own that it may read.
        keep_fds: descriptors that stay open beside 0, 1 and 2.
        variables: environment variables it gets beside language, time zone and thread counts.
        memfd: let it make memory files; up to `open_files` times `file_bytes` more memory.
        abi: Landlock version to use at most (for tests of older kernels).
    """

    level: Level
    limits: ResourceLimits
    scratch: Path
    readable: tuple[Path, ...] = ()
    keep_fds: tuple[int, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    memfd: bool = False
    abi: int | None = None

    def apply(self) -> None:
        """Confine this process, for good: after its imports and before the plugin's.

        Raises:
            SandboxUnavailableError: the kernel, a second thread or a missing folder stands in
                the way. The process may be half confined then: end it.
        """
        try:
            if self.level == "L2":
                self._confine()
            else:
                self.limits.apply()
        except OSError as error:
            raise SandboxUnavailableError(
                f"isolation {self.level} could not be set up",
                got=error,
                fix="look up the call in the kernel's log, or run on a kernel that offers it",
            ) from error

    def rules(self) -> Iterable[Rule]:
        """Return what Landlock leaves open."""
        for path in own_folders():
            if path.exists():
                yield Rule(path, READ)
        yield from (Rule(path, READ) for path in self.readable)
        yield Rule(Path("/dev/null"), Right.READ_FILE | Right.WRITE_FILE)
        yield Rule(self.scratch, WORK)

    def _confine(self) -> None:
        refuse_unsupported(supported())
        _refuse_threads()
        _refuse_missing((self.scratch, *self.readable))
        rules = tuple(self.rules())
        filter_ = seccomp.own_program(memfd=self.memfd)
        self._settle()
        close_all_but({0, 1, 2, *self.keep_fds})
        self.limits.apply()
        landlock.restrict(rules, abi=self.abi)
        kernel.drop_capabilities()
        seccomp.install(filter_)

    def _settle(self) -> None:
        home = str(self.scratch)
        kept = {name: os.environ[name] for name in _KEPT_VARIABLES & os.environ.keys()}
        scrub_environment({**kept, "HOME": home, "TMPDIR": home, **self.variables})
        tempfile.tempdir = None
        sys.dont_write_bytecode = True
        os.umask(0o077)
        os.chdir(home)


def refuse_unsupported(support: Support) -> None:
    """Refuse to go on where L2 cannot be had.

    Raises:
        SandboxUnavailableError: with every reason.
    """
    if not support.sandbox:
        raise SandboxUnavailableError(
            "this machine cannot confine a plugin",
            got="; ".join(support.reasons),
            fix="run plugins you trust at L1, others as WASM (L3), or use a kernel with Landlock",
        )


@cache
def own_folders() -> tuple[Path, ...]:
    """Return what Python, its packages and the system's libraries are read from."""
    named = sysconfig.get_paths()
    python = [named[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    python += [path for path in sys.path if Path(path).name in _PACKAGES]  # a user's own, too
    package = str(Path(__file__).parents[2])  # a checkout lies outside the site's folders
    library = sysconfig.get_config_var("LIBDIR")
    found = dict.fromkeys([*python, package, *([library] if library else []), *_SYSTEM_FOLDERS])
    return tuple(Path(path) for path in found)


def scrub_environment(variables: Mapping[str, str]) -> None:
    """Replace the environment, and zero the block in which the process was given the old one.

    Copies that libraries made of old values stay in memory: start the first process of all
    workers with a clean environment.
    """
    os.environ.clear()
    fields = Path("/proc/self/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])  # env_start and env_end, fields 50 and 51
    if start:
        kernel.wipe(start, end)
    os.environ.update(variables)


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor that is not among these."""
    for number in sorted(int(name) for name in os.listdir("/proc/self/fd")):  # noqa: PTH208 - names, not paths
        if number not in kept:
            try:
                os.close(number)
            except OSError:  # the listing's own descriptor is gone already
                continue


def _refuse_missing(paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.exists():
            raise SandboxUnavailableError(
                "a folder that the worker is to keep is not there",
                got=path,
                fix="make it before the sandbox is applied",
            )


def _refuse_threads() -> None:
    """Landlock binds the thread that asks; one started earlier would stay free."""
    running = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names, not paths
    if running > 1:
        raise SandboxUnavailableError(
            "a process is confined before it starts threads",
            got=f"{running} threads",
            fix="fork the worker from the warm server and apply the sandbox first",
        )

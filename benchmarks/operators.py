"""What the benchmarks of operators measure: operators with native kernels, and torch's own ways.

Owns how these are found and built, and how a benchmark that cannot run here says so. Knows nothing
of measuring.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import torch

from openautoglm import ops
from openautoglm.native.cache import cache_folder, digest, put, turn
from openautoglm.native.cells import unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

SKIPPED = 77
"""Exit status of a benchmark that cannot run here, as automake has it."""

HERE = Path(__file__).parent
PLUGIN = HERE.parent / "plugins" / "ops" / "fast-add"
TORCH_ADD = HERE / "native" / "torch_add.cc"


def skip(reason: str) -> NoReturn:
    """End the program, saying why it cannot measure here."""
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def need_core() -> None:
    """End the program where the compiled core is not there."""
    reason = unavailable()
    if reason is not None:
        skip(f"no compiled core: {reason}")


def need_cuda() -> None:
    """End the program where no compiled core is, or no GPU that torch can use."""
    need_core()
    if not torch.cuda.is_available():
        skip("no GPU that torch can use: " + ("no device" if torch.version.cuda else "a CPU build"))


def has_kernel(operator: ops.RegisteredOperator, device: str) -> bool:
    """Whether a native kernel serves contiguous f32 arrays on a device."""
    kernels = operator.table.kernels
    return any(kernel.is_native and kernel.device in (None, device) for kernel in kernels)


@cache
def native_add(device: str = "cpu") -> ops.RegisteredOperator:
    """Return `add`, or the plugin's `fast_add` where the package was built without kernels."""
    if has_kernel(ops.get("add"), device):
        return ops.get("add")
    ops.load_library(PLUGIN)
    return ops.get("fast_add")


def kernel_of(operator: ops.RegisteredOperator, *inputs: object) -> Callable[..., object]:
    """Return the native function that serves a call: `function(*inputs, *attributes, *outputs)`."""
    winner = operator.explain(*inputs).winner
    return next(k.function for k in operator.table.kernels if k.name == winner)


@cache
def torch_extension() -> Path:
    """Return the C++ extension of torch in `native/torch_add.cc`, compiled once for each content.

    Raises:
        LookupError: no compiler is there, or it does not accept torch's headers.
    """
    root = Path(torch.__file__).parent
    headers = [f"-I{root / 'include'}", f"-I{root / 'include/torch/csrc/api/include'}"]
    libraries = [f"-L{root / 'lib'}", "-ltorch_cpu", "-lc10"]
    flags = ["-O3", "-fPIC", "-shared", "-std=c++20", *headers]
    named = digest(repr([TORCH_ADD.read_text("utf-8"), torch.__version__, flags]).encode())[:16]
    folder = cache_folder("benchmarks")
    made = folder / f"torch_add-{named}.so"
    with turn(folder / "torch_add.lock"):
        if not made.is_file():
            part = made.with_suffix(".part")
            _compile([*flags, str(TORCH_ADD), "-o", str(part), *libraries])
            put(made, part.read_bytes(), mode=0o555)
            part.unlink()
    return made


def _compile(arguments: list[str]) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        raise LookupError("no g++ on PATH")
    done = subprocess.run(
        [compiler, *arguments], stderr=subprocess.PIPE, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        raise LookupError(f"g++ does not compile it: {done.stderr.strip()[:200]}")

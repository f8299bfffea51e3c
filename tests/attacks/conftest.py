"""Libraries compiled without the care our own build takes."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from openautoglm.native.toolchain import INCLUDE, runtime_library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KERNEL = """#include <openautoglm/abi.h>
extern "C" OAG_EXPORT int __tvm_ffi_oag_f(void*, const TVMFFIAny*, int32_t, TVMFFIAny* result) {
  result->type_index = kTVMFFIInt;
  result->v_int64 = VALUE;
  return 0;
}
OAG_TEXT_ROW(OAG_ROW_SYMBOL(kernel, f), "kernel\\tf\\t__tvm_ffi_oag_f\\tCPU\\t\\t\\t0\\t");
"""


@pytest.fixture(scope="session", autouse=True)
def cache_of_libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's own cache out of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAUTOGLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function (C++ text, *flags) to a library, without the care our own build takes."""

    def build(text: str = "", *flags: str, value: int = 1) -> Path:
        folder = tmp_path_factory.mktemp("raw")
        (folder / "raw.cc").write_text(KERNEL + text, encoding="utf-8")
        runtime = runtime_library()
        hidden = () if "-fvisibility=default" in flags else ("-fvisibility=hidden",)
        command = ["g++", "-std=c++17", "-fPIC", "-shared", *hidden, f"-DVALUE={value}"]
        command += [f"-I{INCLUDE}", f"-I{runtime.parents[1] / 'include'}", "raw.cc", "-o", "raw.so"]
        command += [*flags, f"-L{runtime.parent}", "-ltvm_ffi"]
        subprocess.run(command, cwd=folder, check=True)
        return folder / "raw.so"

    return build

"""Files replaced under a loaded library, libraries closed under their functions, many at once."""

from __future__ import annotations

import gc
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from openautoglm.errors import LibraryRefusedError
from openautoglm.native.library import KernelLibrary
from openautoglm.native.toolchain import build_folder

if TYPE_CHECKING:
    from collections.abc import Callable


def value_of(library: KernelLibrary) -> object:
    return library.function("__tvm_ffi_oag_f")()


def test_a_good_library_is_loaded_and_unmapped_when_nobody_holds_it(
    compiled: Callable[..., Path],
) -> None:
    library = KernelLibrary.open(compiled(value=11))
    assert value_of(library) == 11
    assert library.is_mapped()
    library.close()
    gc.collect()
    assert not library.is_mapped()


def test_a_function_outlives_its_library_and_keeps_its_code(compiled: Callable[..., Path]) -> None:
    library = KernelLibrary.open(compiled(value=12))
    function = library.function("__tvm_ffi_oag_f")
    library.close()
    gc.collect()
    assert library.is_mapped()
    assert function() == 12
    del function
    gc.collect()
    assert not library.is_mapped()


def test_an_array_a_kernel_filled_outlives_the_library() -> None:
    built = build_folder(Path(__file__).parents[2] / "plugins/ops/plain-c")
    library = KernelLibrary.open(built.path)
    out = np.empty(4, "f4")
    library.function(library.kernels[0].symbol)(np.ones(4, "f4"), out)
    library.close()
    gc.collect()
    assert not library.is_mapped()
    np.testing.assert_array_equal(out, np.full(4, -1))


def test_an_error_of_a_kernel_does_not_keep_the_library(compiled: Callable[..., Path]) -> None:
    fails = """
extern "C" OAG_EXPORT int __tvm_ffi_oag_g(void*, const TVMFFIAny*, int32_t, TVMFFIAny*) {
  return oag_set_error("OperatorArgumentError", "no");
}
OAG_TEXT_ROW(OAG_ROW_SYMBOL(kernel, g), "kernel\\tg\\t__tvm_ffi_oag_g\\tCPU\\t\\t\\t0\\t");
"""
    library = KernelLibrary.open(compiled(fails))
    with pytest.raises(ValueError, match="no"):
        library.function("__tvm_ffi_oag_g")()
    library.close()
    gc.collect()
    assert not library.is_mapped()


def test_a_closed_library_gives_no_functions_and_says_so(compiled: Callable[..., Path]) -> None:
    library = KernelLibrary.open(compiled())
    library.close()
    with pytest.raises(LibraryRefusedError, match="closed"):
        library.function("__tvm_ffi_oag_f")


def test_a_symbol_that_is_no_kernel_is_refused_by_name(compiled: Callable[..., Path]) -> None:
    with (
        KernelLibrary.open(compiled()) as library,
        pytest.raises(LibraryRefusedError, match="no such kernel"),
    ):
        library.function("__tvm_ffi_oag_missing")


def test_a_file_replaced_under_one_path_is_a_new_library(
    compiled: Callable[..., Path], tmp_path: Path
) -> None:
    path = tmp_path / "same.so"
    shutil.copy(compiled(value=21), path)
    old = KernelLibrary.open(path)
    shutil.copy(compiled(value=22), tmp_path / "next")
    (tmp_path / "next").replace(path)
    new = KernelLibrary.open(path)
    assert (value_of(old), value_of(new)) == (21, 22)
    assert old.digest != new.digest


@pytest.mark.parametrize("how", ["other library", "zeros", "truncated", "deleted"])
def test_overwriting_the_file_of_a_loaded_library_hurts_nobody(
    compiled: Callable[..., Path], tmp_path: Path, how: str
) -> None:
    path = tmp_path / "used.so"
    shutil.copyfile(compiled(value=31), path)
    library = KernelLibrary.open(path)
    function = library.function("__tvm_ffi_oag_f")
    if how == "deleted":
        path.unlink()
    else:
        other = compiled(value=32).read_bytes()
        contents = {"other library": other, "zeros": bytes(len(other)), "truncated": b""}[how]
        with path.open("r+b") as file:  # the same inode
            file.truncate(len(contents))
            file.write(contents)
    assert function() == 31
    if how == "other library":
        assert value_of(KernelLibrary.open(path)) == 32


def test_a_cached_copy_that_was_changed_is_not_trusted(compiled: Callable[..., Path]) -> None:
    path = compiled(value=41)
    with KernelLibrary.open(path) as library:
        copy = library.path
    gc.collect()
    copy.chmod(0o755)
    copy.write_bytes(compiled(value=42).read_bytes())
    assert value_of(KernelLibrary.open(path)) == 41


def test_many_generations_leave_only_the_held_ones_in_memory(compiled: Callable[..., Path]) -> None:
    libraries = [KernelLibrary.open(compiled(value=50 + i)) for i in range(4)]
    for library in libraries[:-1]:
        library.close()
    gc.collect()
    assert [library.is_mapped() for library in libraries] == [False, False, False, True]


def test_a_library_may_be_opened_and_closed_by_many_threads(compiled: Callable[..., Path]) -> None:
    path, values = compiled(value=61), []

    def use() -> None:
        for _ in range(10):
            with KernelLibrary.open(path) as library:
                values.append(value_of(library))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert values == [61] * 40

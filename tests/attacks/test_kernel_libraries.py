"""Libraries made to break the process, to stay in it, or to be taken for another one."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.errors import LibraryRefusedError
from openautoglm.native import elf, trial
from openautoglm.native.library import KernelLibrary
from openautoglm.native.toolchain import INCLUDE, build_folder, runtime_library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KERNEL = """#include <openautoglm/abi.h>
extern "C" OAG_EXPORT int __tvm_ffi_oag_f(void*, const TVMFFIAny*, int32_t, TVMFFIAny* result) {
  result->type_index = kTVMFFIInt;
  result->v_int64 = VALUE;
  return 0;
}
OAG_TEXT_ROW(OAG_ROW_SYMBOL(kernel, f), "kernel\\tf\\t__tvm_ffi_oag_f\\tCPU\\t\\t\\t0\\t");
"""
IN_PLACE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


@pytest.fixture(scope="module", autouse=True)
def cache_of_these_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAUTOGLM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
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


def value_of(library: KernelLibrary) -> object:
    return library.function("__tvm_ffi_oag_f")()


def refusal(path: Path) -> LibraryRefusedError:
    with pytest.raises(LibraryRefusedError) as caught:
        KernelLibrary.open(path)
    assert caught.value.fix
    return caught.value


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


def test_static_constructors_are_refused_by_name_before_anything_runs(
    compiled: Callable[..., Path], tmp_path: Path
) -> None:
    proof = tmp_path / "ran"
    text = f"""
#include <cstdio>
static int Touch() {{ return std::fclose(std::fopen("{proof}", "w")); }}
int touched = Touch();
"""
    error = refusal(compiled(text))
    assert "would run code while it is loaded" in error.problem
    assert "_GLOBAL__sub_I" in str(error.got)
    assert not proof.exists()


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("__attribute__((constructor)) static void Now() { __builtin_trap(); }", ()),
        ("__attribute__((constructor(101))) static void Early() { __builtin_trap(); }", ("-s",)),
        ('extern "C" void now() { __builtin_trap(); }', ("-Wl,-init=now",)),
        ("#include <iostream>\n", ()),
    ],
)
def test_every_way_to_run_code_at_load_is_seen(
    compiled: Callable[..., Path], text: str, flags: tuple[str, ...]
) -> None:
    assert elf.read(compiled(text, *flags)).has_static_constructors


def test_a_stripped_library_without_constructors_is_taken(compiled: Callable[..., Path]) -> None:
    with KernelLibrary.open(compiled("", "-s", value=71)) as library:
        assert value_of(library) == 71


THROWS = """
#include <stdexcept>
__attribute__((constructor)) static void Now() { throw std::runtime_error("not today"); }
"""
HANGS = '__attribute__((constructor)) static void Now() { for (;;) asm volatile(""); }'


def tried(path: Path, *symbols: str, timeout_s: float = 60) -> trial.Verdict:
    runtime = runtime_library()
    return trial.load_in_child(path, runtime=runtime, symbols=symbols, timeout_s=timeout_s)


def test_a_library_that_throws_at_load_ends_the_child_and_not_us(
    compiled: Callable[..., Path],
) -> None:
    verdict = tried(compiled(THROWS))
    assert verdict.problem == "loading ends the process"
    assert "Aborted" in str(verdict.got)
    assert "not today" in str(verdict.got)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("__builtin_trap();", "Illegal instruction"),
        ("*(volatile int*)8 = 1;", "Segmentation fault"),
    ],
)
def test_a_library_that_crashes_at_load_is_told_by_its_signal(
    compiled: Callable[..., Path], body: str, said: str
) -> None:
    text = f"__attribute__((constructor)) static void Now() {{ {body} }}"
    assert said in str(tried(compiled(text)).got)


def test_a_library_that_never_finishes_loading_is_given_up(compiled: Callable[..., Path]) -> None:
    assert tried(compiled(HANGS), timeout_s=1).problem == "loading does not end"


def test_a_library_that_exits_or_prints_at_load_does_not_pass_for_a_good_one(
    compiled: Callable[..., Path],
) -> None:
    text = """
#include <cstdio>
#include <cstdlib>
__attribute__((constructor)) static void Now() {
  std::puts("{\\"problem\\": null, \\"got\\": null}"); std::fflush(stdout); std::_Exit(0);
}
"""
    assert tried(compiled(text)).problem == "loading ends the process"


def test_a_symbol_nobody_has_is_found_in_the_trial(compiled: Callable[..., Path]) -> None:
    text = (
        'extern "C" int nowhere(int); extern "C" OAG_EXPORT int use(int x) { return nowhere(x); }'
    )
    error = refusal(compiled(text, "-Wl,-z,lazy"))
    assert "the loader refuses it" in error.problem
    assert "undefined symbol: nowhere" in str(error.got)


def test_a_library_that_needs_one_that_is_not_there_is_refused(
    compiled: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "gone.cc").write_text("int gone() { return 1; }\n", encoding="utf-8")
    subprocess.run(
        ["g++", "-shared", "-fPIC", "gone.cc", "-o", "libgone.so"],  # noqa: S607 - on PATH
        cwd=tmp_path,
        check=True,
    )
    path = compiled(
        "int gone(); OAG_EXPORT int use() { return gone(); }", f"-L{tmp_path}", "-lgone"
    )
    assert "libgone.so" in str(refusal(path).got)


def test_a_passed_trial_is_remembered_for_the_same_content_only(
    compiled: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = compiled(value=81), compiled(value=82)
    KernelLibrary.open(path).close()
    monkeypatch.setattr("sys.executable", "/bin/false")  # a trial that runs now fails
    KernelLibrary.open(path).close()
    assert "failed its trial" in refusal(other).problem


def test_another_abi_is_refused(compiled: Callable[..., Path]) -> None:
    text = 'OAG_TEXT_ROW(OAG_ROW_SYMBOL(abi, other), "abi\\t2");'
    assert "another ABI" in refusal(compiled(text)).problem


def test_a_manifest_that_promises_too_much_is_refused(compiled: Callable[..., Path]) -> None:
    text = 'OAG_TEXT_ROW(OAG_ROW_SYMBOL(kernel, g), "kernel\\tg\\t__tvm_ffi_g\\tCPU\\t\\t\\t0\\t");'
    error = refusal(compiled(text))
    assert (error.got, "does not have" in error.problem) == ("__tvm_ffi_g", True)


def test_gnu_unique_symbols_are_refused_and_really_would_stay(
    compiled: Callable[..., Path],
) -> None:
    text = """
template <typename T> struct Holder { static int value; };
template <typename T> int Holder<T>::value = 3;
OAG_EXPORT int use() { return Holder<int>::value; }
"""
    path = compiled(text, "-fvisibility=default")
    error = refusal(path)
    assert "GNU-unique" in error.problem
    assert "Holder" in str(error.got)
    assert tried(path).problem == "it cannot be unloaded"


def test_a_thread_local_with_a_destructor_is_refused(compiled: Callable[..., Path]) -> None:
    text = """
#include <string>
OAG_EXPORT const char* use() { static thread_local std::string text("kept"); return text.c_str(); }
"""
    assert "thread_local" in refusal(compiled(text)).problem


def test_a_library_that_asks_to_stay_is_refused(compiled: Callable[..., Path]) -> None:
    assert refusal(compiled("", "-Wl,-z,nodelete")).got == "NODELETE"


def test_a_library_of_another_processor_is_refused(
    compiled: Callable[..., Path], tmp_path: Path
) -> None:
    data = bytearray(compiled().read_bytes())
    data[18:20] = (0xB7 if data[18] != 0xB7 else 0x3E).to_bytes(2, "little")  # e_machine
    path = tmp_path / "foreign.so"
    path.write_bytes(data)
    assert "another processor" in refusal(path).problem


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"PK\x03\x04", b"#!/bin/sh\n", bytes(4096)])
def test_what_is_no_library_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "not.so"
    path.write_bytes(data)
    refusal(path)


def test_a_program_an_object_a_folder_and_nothing_are_refused(
    compiled: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "a.c").write_text("int a;\n", encoding="utf-8")
    subprocess.run(["gcc", "-c", "a.c"], cwd=tmp_path, check=True)  # noqa: S607 - on PATH
    missing = compiled().parent / "missing.so"
    for path in (Path("/bin/true"), tmp_path / "a.o", tmp_path, missing, Path(os.devnull)):
        refusal(path)


def test_a_library_without_a_manifest_is_refused() -> None:
    assert "no kernel library" in refusal(runtime_library()).problem


@IN_PLACE
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_file_is_read_or_refused_and_never_more(
    compiled: Callable[..., Path],
    tmp_path: Path,
    changes: list[tuple[float, int]],
) -> None:
    data = bytearray(_good(compiled))
    for where, value in changes:
        data[int(where**3 * (len(data) - 1))] = value  # headers more often than code
    path = tmp_path / "damaged.so"
    path.write_bytes(data)
    try:
        elf.read(path)
    except LibraryRefusedError as error:
        assert error.fix  # noqa: PT017 - both ends are right; a refusal must carry its fix


_KEPT: list[bytes] = []


def _good(compiled: Callable[..., Path]) -> bytes:
    if not _KEPT:
        _KEPT.append(compiled().read_bytes())
    return _KEPT[0]

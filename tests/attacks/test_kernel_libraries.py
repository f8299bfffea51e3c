"""Libraries made to break the process, to stay in it, or to be taken for another one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.errors import LibraryRefusedError
from openautoglm.native import elf, trial
from openautoglm.native.library import KernelLibrary
from openautoglm.native.toolchain import runtime_library

if TYPE_CHECKING:
    from collections.abc import Callable

IN_PLACE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)


def value_of(library: KernelLibrary) -> object:
    return library.function("__tvm_ffi_oag_f")()


def refusal(path: Path) -> LibraryRefusedError:
    with pytest.raises(LibraryRefusedError) as caught:
        KernelLibrary.open(path)
    assert caught.value.fix
    return caught.value


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
    assert str(error.got).endswith("raw.so: __tvm_ffi_g")
    assert "does not have" in error.problem


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
    assert str(refusal(compiled("", "-Wl,-z,nodelete")).got).endswith("raw.so: NODELETE")


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

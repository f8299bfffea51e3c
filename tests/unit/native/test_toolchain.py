"""Sources are compiled once for each content, and a compiler's errors reach the reader."""

from __future__ import annotations

import platform
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openautoglm.cli.ending import run_to_end
from openautoglm.errors import BuildFailedError
from openautoglm.native import elf
from openautoglm.native.library import KernelLibrary
from openautoglm.native.toolchain import build_folder, compile_library

ROOT = Path(__file__).parents[3]
KERNEL = """#include <openautoglm/c.h>
#include "value.h"
OAG_C_KERNEL(value, CPU) { (void)args; (void)count; result->type_index = kTVMFFIInt;
  result->v_int64 = VALUE; return 0; }
"""
X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64 instruction sets")


def folder_of(where: Path, **files: str) -> Path:
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        (where / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return where


def value_of(path: Path) -> object:
    with KernelLibrary.open(path) as library:
        return library.function(library.kernels[0].symbol)()


def test_an_unchanged_folder_is_not_compiled_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, value_c=KERNEL, value_h="#define VALUE 1\n")
    first, second = build_folder(folder), build_folder(folder)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.path == second.path


def test_an_edit_of_source_header_or_flags_gives_another_library(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, value_c=KERNEL, value_h="#define VALUE 1\n")
    one = build_folder(folder).path
    folder_of(folder, value_h="#define VALUE 2\n")
    two = build_folder(folder).path
    folder_of(folder, value_c=KERNEL.replace("= VALUE", "= VALUE + 1"))
    three = build_folder(folder).path
    flagged = build_folder(folder, flags=("-DUNUSED",)).path
    assert len({one, two, three, flagged}) == 4
    assert [value_of(path) for path in (one, two, three)] == [1, 2, 3]


def test_going_back_to_an_earlier_header_finds_its_library_again(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, value_c=KERNEL, value_h="#define VALUE 1\n")
    one = build_folder(folder).path
    folder_of(folder, value_h="#define VALUE 2\n")
    build_folder(folder)
    folder_of(folder, value_h="#define VALUE 1\n")
    assert build_folder(folder).path == one


def test_two_builders_at_once_get_one_library(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, value_c=KERNEL, value_h="#define VALUE 5\n")
    with ThreadPoolExecutor(2) as pool:
        a, b = pool.map(lambda _: build_folder(folder), range(2))
    assert a.path == b.path
    assert [a.is_new, b.is_new].count(True) == 1


def test_a_compile_error_shows_the_compilers_first_lines(tmp_path: Path) -> None:
    source = folder_of(tmp_path, broken_c="int f(void) { return x; }\n") / "broken.c"
    with pytest.raises(BuildFailedError) as caught:
        compile_library([source])
    assert "broken.c:1:" in str(caught.value.got)
    assert "'x' undeclared" in str(caught.value.got)


def test_a_symbol_nobody_has_is_an_error_of_the_build(tmp_path: Path) -> None:
    source = (
        folder_of(tmp_path, lost_c="int lost(void); int f(void) { return lost(); }\n") / "lost.c"
    )
    with pytest.raises(BuildFailedError, match="did not accept") as caught:
        compile_library([source])
    assert "undefined reference to `lost'" in str(caught.value.got)


def test_a_folder_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildFailedError, match="no source to build"):
        build_folder(tmp_path)


def test_a_missing_compiler_is_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BuildFailedError) as caught:
        build_folder(folder_of(tmp_path, a_c="int a;\n"))
    assert caught.value.got == "no no-such-compiler on PATH"
    assert "CC" in str(caught.value.fix)


def test_without_nvcc_cuda_sources_are_left_out_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NVCC", "no-such-nvcc")
    folder = folder_of(tmp_path, value_c=KERNEL, value_h="#define VALUE 6\n", gpu_cu="")
    built = build_folder(folder)
    assert [(path.name, why.partition(":")[0]) for path, why in built.left_out] == [
        ("gpu.cu", "nvcc is not on PATH")
    ]
    with pytest.raises(BuildFailedError, match="CUDA sources need nvcc"):
        build_folder(folder, cuda=True)


@X86
def test_code_for_another_instruction_set_never_replaces_the_plain_one(tmp_path: Path) -> None:
    shared = """#include <openautoglm/op.h>
template <typename T> __attribute__((noinline)) int Level(T) {
#if defined(__AVX512F__)
  return 4;
#elif defined(__AVX2__)
  return 3;
#else
  return 1;
#endif
}
"""
    kernel = """#include "level.h"
struct K { static void forward(openautoglm::TensorView out) { out.at<int>() = Level(0); } };
REGISTER_KERNEL(level, K, CPU);
"""
    import numpy as np

    folder = folder_of(tmp_path, level_h=shared, a_v4_cc=kernel, b_v3_cc=kernel, c_cc=kernel)
    with KernelLibrary.open(build_folder(folder, flags=("-O1",)).path) as library:
        plain = next(row for row in library.kernels if not row.isa)
        assert {row.isa for row in library.kernels} == {"", "x86-64-v3", "x86-64-v4"}
        out = np.zeros((), "i4")
        library.function(plain.symbol)(out)
        assert out == 1


@X86
def test_the_plain_file_may_call_a_function_of_the_fast_one(tmp_path: Path) -> None:
    plain = "#include <openautoglm/c.h>\nint Fast(void);\n" + KERNEL.split("\n", 2)[2].replace(
        "VALUE", "Fast()"
    )
    folder = folder_of(
        tmp_path, a_c=plain, a_v3_c="int Fast(void);\nint Fast(void) { return 9; }\n"
    )
    assert value_of(build_folder(folder).path) == 9


def test_only_kernels_and_the_manifest_are_exported() -> None:
    facts = elf.read(build_folder(ROOT / "plugins/ops/fast-add", cuda=False).path)
    assert all(name.startswith(("__tvm_ffi_oag_", "__oag_manifest_")) for name in facts.exports)
    assert facts.gnu_unique == frozenset()
    assert facts.static_constructors == ()


def test_the_command_builds_tells_and_copies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.so"
    assert run_to_end(["op", "build", str(ROOT / "plugins/ops/plain-c"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "operator  negate(Tensor x) -> Tensor" in printed
    assert "kernel    negate · cpu · f32" in printed
    assert elf.read(out).manifest


def test_the_command_says_what_the_compiler_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_to_end(["op", "build", str(folder_of(tmp_path, a_c="int a\n"))]) == 2
    assert "[OAG206]" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc to compile CUDA with")
def test_a_cuda_library_can_be_read_and_loaded_without_a_gpu() -> None:
    import numpy as np

    from openautoglm.errors import OperatorArgumentError

    with KernelLibrary.open(build_folder(ROOT / "plugins/ops/fast-add", cuda=True).path) as library:
        row = next(k for k in library.kernels if k.device == "cuda" and k.op == "fast_add")
        assert (row.isa, row.language) == ("sm_80", "cuda")
        x = np.zeros(2, "f4")
        with pytest.raises(OperatorArgumentError, match="must be on cuda"):
            library.function(row.symbol)(x, x, 1.0, x)
    assert library.is_mapped()  # a launch may be under way, a captured graph may call it

"""Rows of a library read back as written; anything else is refused with the row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openautoglm.errors import LibraryRefusedError, OperatorDefinitionError
from openautoglm.native.manifest import DTYPES, KernelRow, parse

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
GOOD = "kernel\tadd\t__tvm_ffi_oag_add\tCPU\tF32\t\t0\t"


@given(
    op=NAMES,
    tail=NAMES,
    dtypes=st.lists(st.sampled_from(sorted(DTYPES)), unique=True),
    priority=st.integers(-(2**31), 2**31 - 1),
    isa=st.sampled_from(["", "x86-64-v3", "sm_80"]),
)
def test_a_kernel_row_reads_back_as_written(
    op: str, tail: str, dtypes: list[str], priority: int, isa: str
) -> None:
    words = ", ".join(name.upper() for name in dtypes) + ","
    row = f"kernel\t{op}\t__tvm_ffi_{tail}\tCUDA\t{words}\t{isa}\t{priority}\tcontiguous"
    assert parse(["abi\t1", row]).kernels == (
        KernelRow(
            op=op,
            symbol=f"__tvm_ffi_{tail}",
            device="cuda",
            dtypes=tuple(dtypes),
            isa=isa,
            priority=priority,
            flags=frozenset({"contiguous"}),
        ),
    )


@pytest.mark.parametrize(
    "row",
    [
        "",
        "op",
        "op\tadd",
        "op\tnot a name\tadd()",
        "kernel\tadd",
        GOOD + "\tmore",
        GOOD.replace("CPU", "TPU"),
        GOOD.replace("F32", "F23"),
        GOOD.replace("\t0\t", "\thigh\t"),
        GOOD.replace("__tvm_ffi_", "system_"),
        "unknown\trow",
    ],
)
def test_a_row_that_cannot_be_read_is_refused_and_shown(row: str) -> None:
    with pytest.raises(LibraryRefusedError) as caught:
        parse(["abi\t1", row])
    assert caught.value.got == repr(row)


@given(st.text())
def test_no_text_does_anything_but_read_or_be_refused(row: str) -> None:
    try:
        parse(["abi\t1", row])
    except LibraryRefusedError as refusal:
        assert refusal.fix  # noqa: PT017 - both ends are right; a refusal must carry its fix


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(LibraryRefusedError, match="twice"):
        parse(["abi\t1", GOOD, GOOD])
    with pytest.raises(LibraryRefusedError, match="an operator twice"):
        parse(["abi\t1", "op\ta\ta()", "op\ta\ta(Tensor x)"])


def test_a_library_of_another_abi_or_none_is_refused() -> None:
    with pytest.raises(LibraryRefusedError, match="another ABI"):
        parse(["abi\t1", "abi\t2", GOOD])
    with pytest.raises(LibraryRefusedError, match="no kernel library"):
        parse([GOOD])


@pytest.mark.parametrize("schema", ["bb(Tensor x) -> Tensor", "(Tensor x) -> Tensor", "aa_"])
def test_an_operator_has_the_name_of_its_schema(schema: str) -> None:
    with pytest.raises(OperatorDefinitionError, match="operator `aa` is registered with"):
        parse(["abi\t1", f"op\taa\t{schema}"])
    assert parse(["abi\t1", "op\taa\t aa (Tensor x) -> Tensor"]).operators[0].name == "aa"

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.errors import (
    BuildFailedError,
    KernelFailedError,
    LibraryRefusedError,
    NameTakenError,
    NoKernelError,
    OperatorDefinitionError,
)
from openautoglm.native import trial
from openautoglm.native.cells import unavailable
from openautoglm.ops import catalog
from openautoglm.ops.opdef import OpDef
from openautoglm.ops.table import KernelTable
from openautoglm.registry import owned_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from openautoglm.ops.machine import Machine

X = np.ones(2, "f4")
CONTRACT = "tagged(Tensor x, float scale=5.0) -> Tensor"
KERNEL = 'OAG_C_KERNEL({op}, CPU, {dtypes}) {{ return oag_refuse("never"); }}\n'
FRESH = 'OAG_C_OPERATOR(fresh_op, "fresh_op(Tensor x) -> Tensor");\n' + KERNEL.format(
    op="fresh_op", dtypes="F32"
)


class NoMachine:
    """A machine that fails whoever asks for its facts."""

    @property
    def isa(self) -> frozenset[str]:
        raise RuntimeError("nobody knows this machine")


@pytest.fixture
def loaded(build_tagged: Callable[..., Path]) -> Iterator[ops.LoadedLibrary]:
    library = ops.load_library(build_tagged(1), name="tagged")
    yield library
    library.unload()


def value() -> float:
    return float(ops.get("tagged")(X)[0])


def test_a_library_defines_its_operators_and_takes_them_away(
    build_tagged: Callable[..., Path],
) -> None:
    library = ops.load_library(build_tagged(1), name="tagged")
    assert library.operators == ("tagged",)
    assert ops.OPERATORS.entry("tagged").owner == "library:tagged"
    assert value() == 2.0
    path = library.path
    library.unload()
    gc.collect()
    assert "tagged" not in ops.names()
    assert not trial.is_mapped(path)
    with pytest.raises(LibraryRefusedError, match="was unloaded"):
        _ = library.path
    library.unload()  # again is nothing


def test_the_owner_in_force_owns_what_a_library_defines(build_tagged: Callable[..., Path]) -> None:
    with owned_by("plugin.a"):
        library = ops.load_library(build_tagged(1))
    assert ops.OPERATORS.revoke("plugin.a") == ("tagged",)
    library.unload()  # what its owner took away is no error
    assert "tagged" not in ops.names()


def test_a_body_swap_keeps_the_operator_and_lets_go_of_old_builds(
    loaded: ops.LoadedLibrary, build_tagged: Callable[..., Path]
) -> None:
    operator, first = ops.get("tagged"), loaded.path
    for generation, number in enumerate((2, 3), start=2):
        report = loaded.swap(build_tagged(number))
        assert (report.kind, report.generation, report.operators) == ("body", generation, ())
    gc.collect()
    assert ops.get("tagged") is operator
    assert value() == 4.0
    assert not trial.is_mapped(first)
    assert {kernel.generation for kernel in operator.table.kernels} == {3}


def test_a_rollback_brings_the_last_build_back_and_no_earlier_one(
    loaded: ops.LoadedLibrary, build_tagged: Callable[..., Path]
) -> None:
    with pytest.raises(LibraryRefusedError, match="was not swapped"):
        loaded.rollback()
    loaded.swap(build_tagged(2))
    dropped = loaded.path
    assert loaded.rollback().generation == 3
    assert value() == 2.0
    gc.collect()
    assert not trial.is_mapped(dropped)
    with pytest.raises(LibraryRefusedError, match="was not swapped"):
        loaded.rollback()


def test_a_contract_swap_is_a_new_version_beside_the_old_one(
    loaded: ops.LoadedLibrary, build_tagged: Callable[..., Path]
) -> None:
    old = ops.get("tagged")
    report = loaded.swap(build_tagged(1, CONTRACT))
    assert (report.kind, report.operators) == ("contract", ("tagged",))
    assert (value(), float(old(X)[0])) == (6.0, 2.0)
    assert ops.get("tagged").opdef.version == 2


@pytest.mark.parametrize(
    ("text", "error", "problem"),
    [
        (KERNEL.format(op="nothing_there", dtypes="F32"), OperatorDefinitionError, "no operator"),
        (KERNEL.format(op="add", dtypes="I8"), OperatorDefinitionError, "never i8"),
        (
            'OAG_C_OPERATOR(mul, "mul(Tensor x) -> Tensor");\n'
            + KERNEL.format(op="mul", dtypes="F32"),
            NameTakenError,
            "states another `mul`",
        ),
    ],
)
def test_a_build_that_does_not_go_with_the_operators_changes_nothing(
    loaded: ops.LoadedLibrary,
    build_c: Callable[[str], Path],
    text: str,
    error: type[Exception],
    problem: str,
) -> None:
    path = build_c(FRESH + text)
    names, kernels = ops.names(), ops.get("add").table.kernels
    with pytest.raises(error, match=problem):
        loaded.swap(path)
    with pytest.raises(error, match=problem):
        ops.load_library(path, name="half")
    assert (ops.names(), ops.get("add").table.kernels) == (names, kernels)
    assert value() == 2.0
    assert loaded.operators == ("tagged",)


def test_a_swap_that_brings_and_drops_operators_says_so_and_a_rollback_undoes_it(
    loaded: ops.LoadedLibrary, build_c: Callable[[str], Path]
) -> None:
    operator = ops.get("tagged")
    report = loaded.swap(build_c(FRESH))
    assert (report.kind, report.operators) == ("contract", ("fresh_op", "tagged"))
    assert loaded.operators == ("fresh_op",)
    assert ops.OPERATORS.entry("fresh_op").owner == "library:tagged"
    report = loaded.rollback()
    assert (report.kind, report.operators) == ("contract", ("fresh_op", "tagged"))
    assert loaded.operators == ("tagged",)
    assert ops.get("tagged") is operator
    assert ops.OPERATORS.entry("tagged").owner == "library:tagged"
    assert value() == 2.0


def test_a_library_that_cannot_be_put_in_place_leaves_nothing_behind(
    loaded: ops.LoadedLibrary, build_c: Callable[[str], Path], owned: str
) -> None:
    if unavailable() is not None:
        pytest.skip("without the compiled core no table is published")
    assert owned
    worn = catalog.add(OpDef.from_schema("worn(Tensor x) -> Tensor"))
    worn.table = KernelTable(worn.opdef, cast("Machine", NoMachine()))
    other = f'OAG_C_OPERATOR(tagged, "{CONTRACT}");\n' + KERNEL.format(op="tagged", dtypes="F32")
    picky = '#undef OAG_ISA\n#define OAG_ISA "neon"\n' + KERNEL.format(op="worn", dtypes="F32")
    path = build_c(FRESH + other + picky)
    names, kernels = ops.names(), ops.get("tagged").table.kernels
    with pytest.raises(RuntimeError, match="nobody knows this machine"):
        loaded.swap(path)
    assert (ops.names(), ops.get("tagged").table.kernels) == (names, kernels)
    assert (ops.get("tagged").opdef.version, loaded.operators) == (1, ("tagged",))
    assert worn.table.kernels == ()
    assert value() == 2.0


def test_kernels_for_operators_of_others_come_and_go(build_c: Callable[[str], Path]) -> None:
    before = ops.get("add").table.kernels
    library = ops.load_library(build_c(KERNEL.format(op="add", dtypes="F64")), name="extra")
    assert [k.name for k in ops.get("add").table.kernels if k.library == "extra"] == ["extra"]
    assert library.operators == ()
    library.unload()
    assert ops.get("add").table.kernels == before


def test_two_libraries_of_one_name_do_not_mix(
    loaded: ops.LoadedLibrary, build_tagged: Callable[..., Path]
) -> None:
    with pytest.raises(NameTakenError):
        ops.load_library(build_tagged(2, CONTRACT), name="other")
    assert value() == 2.0
    assert loaded.operators == ("tagged",)


def test_a_backward_of_a_library_is_part_of_the_contract_and_of_its_version(
    build_c: Callable[[str], Path],
) -> None:
    forward = 'OAG_C_OPERATOR(grown, "grown(Tensor x, float by=1.0) -> Tensor");\n'
    backward = 'OAG_C_OPERATOR(grown_backward, "grown_backward(Tensor g{more}) -> Tensor");\n'
    kernel = KERNEL.format(op="grown", dtypes="F32")
    more = KERNEL.format(op="grown_backward", dtypes="F32")
    library = ops.load_library(build_c(forward + kernel), name="grown")
    assert ops.get("grown").opdef.backward is None
    with_gradient = forward + backward.format(more="") + kernel + more
    assert library.swap(build_c(with_gradient)).operators == ("grown", "grown_backward")
    with_attribute = forward + backward.format(more=", float by=1.0") + kernel + more
    report = library.swap(build_c(with_attribute))
    assert report.operators == ("grown", "grown_backward")
    assert library.swap(build_c(with_attribute + "\n")).kind == "body"
    library.unload()


def test_a_backward_that_is_none_is_refused(build_c: Callable[[str], Path]) -> None:
    text = 'OAG_C_OPERATOR(odd, "odd(Tensor x) -> Tensor");\n'
    text += 'OAG_C_OPERATOR(odd_backward, "odd_backward(Tensor g, Tensor z) -> Tensor");\n'
    path = build_c(text + KERNEL.format(op="odd", dtypes="F32"))
    with pytest.raises(OperatorDefinitionError, match="`odd_backward` is no gradient of `odd`"):
        ops.load_library(path)
    assert "odd" not in ops.names()


def test_an_operator_whose_library_was_unloaded_says_so(
    loaded: ops.LoadedLibrary, build_tagged: Callable[..., Path]
) -> None:
    held = ops.get("tagged")
    loaded.unload()
    with pytest.raises(NoKernelError) as caught:
        held(X)
    assert caught.value.got == "library `tagged` was unloaded with its kernels"
    assert caught.value.fix == "load it again, then take the operator anew: `ops.get('tagged')`"
    again = ops.load_library(build_tagged(1), name="tagged")
    assert value() == 2.0
    again.unload()


def test_a_library_that_is_back_is_not_called_unloaded(build_tagged: Callable[..., Path]) -> None:
    first = ops.load_library(build_tagged(1), name="tagged")
    tagged = ops.get("tagged")
    second = ops.load_library(build_tagged(2), name="second")
    second.unload()
    assert tagged.table.unloaded == {"second"}
    second = ops.load_library(build_tagged(2), name="second")
    assert tagged.table.unloaded == frozenset()
    second.unload()
    first.unload()


def test_a_folder_is_built_first(tmp_path: Path) -> None:
    with pytest.raises(BuildFailedError):
        ops.load_library(tmp_path)


@pytest.mark.parametrize("given", [None, 7, b"library.so", ["library.so"]])
def test_what_is_no_path_is_refused_by_load_and_by_swap(
    loaded: ops.LoadedLibrary, given: str
) -> None:
    for verb in (ops.load_library, loaded.swap):
        with pytest.raises(LibraryRefusedError, match="given by its path") as caught:
            verb(given)
        assert caught.value.got == repr(given)
    assert value() == 2.0


def test_a_swap_takes_a_text_or_a_folder_of_sources(
    loaded: ops.LoadedLibrary, build_tagged: Callable[..., Path]
) -> None:
    assert loaded.swap(str(build_tagged(2))).kind == "body"
    assert value() == 3.0
    report = loaded.swap("plugins/ops/plain-c")
    assert (report.operators, loaded.operators) == (("negate", "tagged"), ("negate",))
    assert loaded.name == "tagged"


@pytest.mark.parametrize("given", ["/dev/zero", "nothing/there.so", "a\0b"])
def test_a_file_that_cannot_be_read_to_its_end_is_refused_with_its_path(given: str) -> None:
    with pytest.raises(LibraryRefusedError) as caught:
        ops.load_library(given)
    assert str(caught.value.got).startswith(given)


def test_a_folder_without_sources_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BuildFailedError) as caught:
        ops.load_library("")
    assert caught.value.got == f"no sources in {tmp_path.resolve()}"


def test_a_refused_library_is_shown_by_the_path_the_user_gave(tmp_path: Path) -> None:
    path = tmp_path / "text.so"
    path.write_text("no library")
    with pytest.raises(LibraryRefusedError) as caught:
        ops.load_library(path)
    assert str(path) in str(caught.value)


def test_a_name_is_free_again_when_its_library_was_unloaded_or_revoked(
    loaded: ops.LoadedLibrary, build_tagged: Callable[..., Path]
) -> None:
    with pytest.raises(NameTakenError, match="`tagged` is loaded already") as caught:
        ops.load_library(build_tagged(2), name="tagged")
    assert "`swap`" in str(caught.value.fix)
    assert value() == 2.0
    loaded.unload()
    path = ops.load_library(build_tagged(2), name="tagged").path
    assert value() == 3.0
    ops.OPERATORS.revoke("library:tagged")
    del caught  # its frames hold the library that was refused
    gc.collect()
    assert not trial.is_mapped(path)
    last = ops.load_library(build_tagged(3), name="tagged")
    assert value() == 4.0
    last.unload()


def test_a_schema_of_another_name_is_refused_and_nothing_is_registered(
    build_c: Callable[[str], Path],
) -> None:
    path = build_c('OAG_C_OPERATOR(aa, "bb(Tensor x) -> Tensor");\n')
    with pytest.raises(OperatorDefinitionError, match="`aa` is registered with the schema of `bb`"):
        ops.load_library(path)
    assert not {"aa", "bb"} & set(ops.names())


def test_a_kernel_in_c_that_fails_without_a_word_is_an_error_and_no_crash(
    build_c: Callable[[str], Path],
) -> None:
    text = "OAG_C_KERNEL({op}, CPU, F32) {{ return count == 2 ? {code} : 0; }}\n"
    stated = 'OAG_C_OPERATOR({op}, "{op}(Tensor x) -> Tensor");\n' + text
    made = "".join(stated.format(op=f"mute_{i}", code=code) for i, code in enumerate((-1, -2, 1)))
    library = ops.load_library(build_c(made), name="mute")
    for name in library.operators:
        with pytest.raises(KernelFailedError, match=f"{name}: the kernel failed and did not say"):
            ops.get(name)(X)
    library.unload()

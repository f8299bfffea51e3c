from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError
from openautoglm.ops import arrays
from openautoglm.ops.arguments import ArraySpec

NO_TORCH = """
import os, sys
import numpy
from openautoglm import ops
x = numpy.ones((2, 4), "f4")
assert ops.get("add")(x, x).tolist() == [[2.0] * 4] * 2
assert ops.get("rms_norm")(x.T).shape == (4, 2)
plug = ops.load_library("plugins/ops/plain-c")
assert (ops.get("negate")(x) == -1).all()
plug.unload()
assert "torch" not in sys.modules, "torch was imported"
import torch
assert ops.get("add")(torch.ones(2), torch.ones(2)).tolist() == [2.0, 2.0]
"""


class Foreign:
    """An array of a library that only speaks DLPack."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __dlpack__(self, **options: object) -> object:
        return self.array.__dlpack__(**options)  # type: ignore[arg-type] # passed on

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


class OnGpu(Foreign):
    """One that says it is somewhere else."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 1


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> type[Foreign]:
    """The class, in a module that takes arrays back as CuPy and JAX do."""
    module = ModuleType("foreign_arrays")
    module.from_dlpack = lambda array: Foreign(np.from_dlpack(array))  # type: ignore[attr-defined] # a module made here
    monkeypatch.setitem(sys.modules, "foreign_arrays", module)
    monkeypatch.setattr(Foreign, "__module__", "foreign_arrays.core")
    return Foreign


@pytest.mark.parametrize("native", ["1", "0"])
def test_calls_on_numpy_arrays_never_import_torch_and_it_may_come_later(native: str) -> None:
    command = [sys.executable, "-c", NO_TORCH]
    env = {"OPENAUTOGLM_NATIVE": native, "PATH": "/usr/bin:/bin", "HOME": "/tmp"}  # noqa: S108 - the compiler's own
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="f4").reshape(2, 3)[::-1, ::-1],
        np.broadcast_to(np.float32(2), (2, 3)),
        np.arange(12, dtype="f4").reshape(3, 4)[:2, 1:].T[::2].T,
        np.arange(6, dtype="f4").reshape(3, 2).T,
        np.zeros((2, 3), [("a", "f4"), ("b", "i1")])["a"],
        np.empty((0, 3), "f4"),
        np.ones((), "f4"),
        np.frombuffer(b"abcdefgh", "f4"),
    ],
    ids=["negative", "broadcast", "sliced", "transposed", "record", "empty", "scalar", "read-only"],
)
def test_every_layout_of_numpy_is_read_right(array: np.ndarray[Any, Any]) -> None:
    before = array.copy()
    result = ops.get("add")(array, array)
    np.testing.assert_array_equal(result, before * 2)
    np.testing.assert_array_equal(array, before)
    assert result.flags.c_contiguous


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("language", ["python", "numpy"])
def test_a_subclass_is_a_plain_array_to_kernels_and_comes_back_as_one(
    language: Literal["python", "numpy"], owned: str
) -> None:
    del owned
    seen: list[object] = []
    op = ops.define("times", inputs=[ops.In("x"), ops.In("y")], reference=lambda x, y: x * y)

    @op.kernel("own", language=language)
    def own(x: Any, y: Any, *, out: Any) -> None:  # noqa: ANN401 - arrays
        seen.extend([x, out])
        out[...] = x * y

    x = np.matrix([[1.0, 2.0], [3.0, 4.0]])
    for name in ("own", "reference"):
        with op.prefer(name):
            result = op(x, x)
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, [[1.0, 4.0], [9.0, 16.0]])
    assert [type(array) for array in seen] == [np.ndarray, np.ndarray]
    assert np.shares_memory(np.asarray(seen[0]), x)


def test_another_library_gets_its_own_arrays_back(foreign: type[Foreign]) -> None:
    x = foreign(np.arange(6, dtype="f8").reshape(2, 3)[:, ::-1])
    result = ops.get("add")(x, x)
    assert isinstance(result, foreign)
    np.testing.assert_array_equal(result.array, x.array * 2)
    assert arrays.library_of(x) == "dlpack"
    assert not arrays.is_contiguous(x)


def test_where_an_array_lives_is_what_it_says() -> None:
    spec = arrays.spec_of(OnGpu(np.ones(2, "f4")), "x")
    assert spec == ArraySpec((2,), "f32", "cuda:1")
    x = np.ones(2, "f4")
    with pytest.raises(OperatorArgumentError, match="expected an array on cpu"):
        ops.get("add")(x, OnGpu(x))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.ones(2, ">f4"), "no operator takes arrays of dtype >f4"),
        (np.ones(2, "c8"), "no operator takes arrays of dtype complex64"),
        (np.array(["a"]), "no operator takes arrays of dtype"),
        (np.array([object()]), "no operator takes arrays of dtype object"),
        (np.ma.masked_array([1.0], [True]), "would lose its mask"),
        ([1.0, 2.0], "expected an array, got list"),
        (2.0, "expected an array, got float"),
        (np.float32(2), "expected an array, got float32"),
    ],
)
def test_what_is_no_plain_array_is_refused_by_name(value: object, problem: str) -> None:
    with pytest.raises(OperatorArgumentError, match="argument `y`") as caught:
        ops.get("add")(np.ones(1), value)
    assert problem in str(caught.value)


def test_a_read_only_array_is_lent_without_a_copy_and_stays_read_only() -> None:
    array = np.ones(3, "f4")
    array.flags.writeable = False
    lent = arrays.as_writable(array)
    assert lent.__array_interface__["data"][0] == array.__array_interface__["data"][0]
    assert not array.flags.writeable


def test_a_result_of_another_shape_is_not_copied() -> None:
    with pytest.raises(ValueError, match=r"shape \(1,\), the output \(2,\)"):
        arrays.copy_into(np.ones(2), np.ones(1))

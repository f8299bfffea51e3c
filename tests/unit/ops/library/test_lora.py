"""The compiled kernels of `lora`, against its reference and row against row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from openautoglm.errors import OperatorArgumentError
from openautoglm.ops.library.lora import LORA

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.ops.library.conftest import Kernels

    Array = np.ndarray[Any, np.dtype[Any]]

ISAS = ("", "x86-64-v3", "x86-64-v4")
RANKS = [0, 1, 5, 8, 16, 21]


def floats(*shape: int, seed: int = 0) -> Array:
    rng = np.random.default_rng([seed, *shape])
    return rng.standard_normal(shape).astype(np.float32)


def of(kernels: Kernels) -> list[Callable[..., object]]:
    """Return the kernels that this processor can run."""
    found = [kernels.find("lora", isa) for isa in ISAS]
    return [kernel for kernel in found if kernel is not None]


def arguments(rows: int, depth: int, width: int) -> tuple[Array, ...]:
    """Return six adapters of as many ranks, and rows that take them by turns, or none."""
    most = max(RANKS)
    a, b = floats(len(RANKS), most, depth), floats(len(RANKS), most, width, seed=1)
    for one, rank in enumerate(RANKS):
        a[one, rank:] = b[one, rank:] = np.nan  # what is there is no matter
    adapter = np.arange(rows, dtype=np.int64) * 5 % (len(RANKS) + 1) - 1
    return floats(rows, width, seed=2), floats(rows, depth), a, b, np.array(RANKS), adapter


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 8, 40])
@pytest.mark.parametrize(("depth", "width"), [(1, 1), (5, 17), (33, 50), (64, 200), (0, 3)])
def test_lora_is_its_reference_and_each_row_is_its_own(
    kernels: Kernels, rows: int, depth: int, width: int
) -> None:
    y, x, a, b, rank, adapter = arguments(rows, depth, width)
    assert LORA.reference is not None
    wanted: Any = LORA.reference(y, x, a, b, rank, adapter, 0)
    for kernel in of(kernels):
        out, one = np.zeros((2, rows, width), np.float32)
        kernel(y, x, a, b, rank, adapter, 0, out)
        np.testing.assert_allclose(out, wanted, rtol=1e-4, atol=1e-4)
        for i in range(rows):
            row = slice(i, i + 1)
            kernel(y[row], x[row], a, b, rank, adapter[row], 0, one[row])
        np.testing.assert_array_equal(out, one)


def test_rows_without_an_adapter_keep_their_bits_and_unknown_adapters_give_nan(
    kernels: Kernels,
) -> None:
    y, x, a, b, rank, adapter = arguments(7, 6, 9)
    y[:] = -0.0
    x[:] = np.inf
    adapter[:] = [-1, 0, 6, -9, 2**62, 3, -(2**63)]  # the rank of 0 is 0
    for kernel in of(kernels):
        out = np.zeros_like(y)
        kernel(y, x, a, b, rank, adapter, 0, out)
        kept = [0, 1, 3, 6]
        np.testing.assert_array_equal(out[kept].view(np.int32), y[kept].view(np.int32))
        assert np.isnan(out[[2, 4]]).all()


@pytest.mark.parametrize(("begin", "width"), [(10, 50), (0, 20), (30, 41), (50, 50), (99, 40)])
def test_the_result_may_be_added_in_place_to_a_part_of_wider_rows(
    kernels: Kernels, begin: int, width: int
) -> None:
    _, *rest = arguments(9, 12, 20)
    assert LORA.reference is not None
    for kernel in of(kernels):
        wide = floats(9, width, seed=3)
        before = wide.copy()
        wanted: Any = LORA.reference(wide, *rest, begin)
        kernel(wide, *rest, begin, wide)
        np.testing.assert_allclose(wide, wanted, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(wide[:, :begin], before[:, :begin])
        np.testing.assert_array_equal(wide[:, begin + 20 :], before[:, begin + 20 :])
        assert (wide[1] != before[1]).sum() == max(min(20, width - begin), 0)


def test_arrays_that_do_not_fit_are_refused(kernels: Kernels) -> None:
    y, x, a, b, rank, adapter = arguments(4, 6, 8)
    wrong: list[tuple[Array, ...]] = [
        (y, x[:3], a, b, rank, adapter),
        (y, x, a[:, :, 1:], b, rank, adapter),
        (y, x, a, b[1:], rank, adapter),
        (y, x, a, b[:, 1:], rank, adapter),
        (y, x, a, b, rank[1:], adapter),
        (y, x, a, b, rank, adapter[1:]),
    ]
    for kernel in of(kernels):
        for given in wrong:
            with pytest.raises(OperatorArgumentError):
                kernel(*(np.ascontiguousarray(one) for one in given), 0, np.zeros_like(y))
        with pytest.raises(OperatorArgumentError, match="compact"):
            kernel(y, x, a, b, rank, adapter, 0, np.zeros((4, 16), np.float32)[:, ::2])

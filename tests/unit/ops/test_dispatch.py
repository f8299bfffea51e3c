from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from openautoglm import ops
from openautoglm.errors import KernelFailedError, NoKernelError, OperatorArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("owned")
X = np.arange(6, dtype="f4").reshape(2, 3)


def unary(**options: object) -> ops.RegisteredOperator:
    return ops.define("unary", inputs=[ops.In("x")], **options)  # type: ignore[arg-type] # options by name


def test_a_kernel_fills_the_output_it_is_given() -> None:
    op = unary()

    @op.kernel("fills")
    def fills(x: np.ndarray, *, out: np.ndarray) -> None:
        assert (out.shape, out.dtype, out.flags.c_contiguous) == (x.shape, x.dtype, True)
        np.negative(x, out=out)

    np.testing.assert_array_equal(op(X.T), -X.T)


def test_a_kernel_that_returns_its_result_is_told_to_fill_the_output() -> None:
    op = unary()
    op.kernel("returns")(lambda x, *, out: x * 2)  # noqa: ARG005 - the mistake
    with pytest.raises(KernelFailedError, match="returned a result of its own") as caught:
        op(X)
    assert caught.value.fix == "write into `out`: `out[...] = ...`"
    op.kernel("fills_and_returns", priority=1)(lambda x, *, out: np.multiply(x, 2, out=out))
    np.testing.assert_array_equal(op(X), X * 2)


def test_a_kernel_of_several_outputs_returns_them_or_nothing() -> None:
    op = ops.define("pair", inputs=[ops.In("x")], outputs=[ops.Out("a"), ops.Out("b")])

    @op.kernel("both")
    def both(x: np.ndarray, *, out: tuple[np.ndarray, np.ndarray]) -> object:
        return np.add(x, 1, out=out[0]), np.add(x, 2, out=out[1])

    assert [part.tolist() for part in op(X[0])] == [[1, 2, 3], [2, 3, 4]]

    @op.kernel("swapped", priority=1)
    def swapped(x: np.ndarray, *, out: tuple[np.ndarray, np.ndarray]) -> object:
        del x
        return out[1], out[0]

    with pytest.raises(KernelFailedError, match="`swapped` of `pair` returned"):
        op(X)


def test_a_kernel_that_gives_its_output_another_shape_is_named() -> None:
    op = unary()
    op.kernel("reshapes", language="torch")(lambda _, *, out: out.resize_(6))
    with pytest.raises(KernelFailedError, match="of `unary` changed the shape") as caught:
        op(torch.ones(2, 3))
    assert caught.value.got == "(6,), given (2, 3)"


def test_several_outputs_are_a_tuple() -> None:
    op = ops.define(
        "ends",
        inputs=[ops.In("x", shape=("n",))],
        outputs=[ops.Out("low", shape=()), ops.Out("high", shape=(), dtype="f64")],
        reference=lambda x: (x.min(), x.max()),
    )
    low, high = op(X[0])
    assert (low, high, low.dtype, high.dtype) == (0, 2, np.float32, np.float64)


def test_lists_of_arrays_are_one_argument() -> None:
    op = ops.define(
        "joined",
        inputs=[ops.In("xs", many=True, shape=("n",))],
        outputs=[ops.Out("y", shape=("n",))],
        reference=lambda xs: sum(xs[1:], xs[0]),
    )
    assert op([X[0], X[1]]).tolist() == [3.0, 5.0, 7.0]
    for wrong in ([], X, [X[0], X[1].astype("f8")], [X[0], X[:, 0]], [X[0], "a"]):
        with pytest.raises(OperatorArgumentError, match="`xs`"):
            op(wrong)


def test_a_predicate_sees_inputs_and_attributes_and_a_broken_one_costs_its_kernel_only() -> None:
    op = ops.define(
        "asked",
        inputs=[ops.In("x")],
        attrs=[ops.Attr("by", float, 1.0)],
        reference=lambda x, by: x * by,
    )
    fill = op.kernel("big", priority=1, when=lambda x, by: x.size > 3 and by > 0)
    fill(lambda *_, out: out.fill(-1))
    op.kernel("broken", priority=2, when=lambda x, by: by / 0 > x)(lambda *_, out: out.fill(0))
    assert op(X[0]).tolist() == [0.0, 1.0, 2.0]
    assert op(X).tolist() == [[-1.0] * 3] * 2
    assert op(X, by=-1.0).tolist() == (-X).tolist()
    assert dict(op.explain(X[0]).refusals)["broken"].startswith("predicate raised ZeroDivision")


def test_no_kernel_says_why_each_refused() -> None:
    op = unary()
    op.kernel("gpu", device="cuda")(lambda x, *, out: out.copy_(x))
    with pytest.raises(NoKernelError, match="no kernel of `unary` takes f32 on cpu") as caught:
        op(X)
    assert caught.value.got == "gpu: cuda kernel, the call is on cpu"
    ops.remove("unary")
    with pytest.raises(NoKernelError, match="has no kernels"):
        unary()(X)


def test_a_kernel_that_fails_is_named_and_our_own_errors_pass() -> None:
    op = unary(reference=lambda x: x[:1])
    with pytest.raises(KernelFailedError, match=r"kernel `reference` of `unary` failed") as caught:
        op(X)
    assert "the result has shape (1, 3), the output (2, 3)" in str(caught.value.got)

    @op.kernel("refuses", priority=1)
    def refuses(x: object, *, out: object) -> None:
        del x, out
        raise OperatorArgumentError("not today")

    with pytest.raises(OperatorArgumentError, match="not today"):
        op(X)


def test_watchers_see_kernels_that_run_through_python_in_their_thread() -> None:
    op = unary(reference=lambda x: x)
    outer: list[ops.KernelRun] = []
    inner: list[ops.KernelRun] = []
    with ops.watching(outer.append):
        op(X)
        with ops.watching(inner.append):
            op(X)
        thread = threading.Thread(target=op, args=(X,))
        thread.start()
        thread.join()
    op(X)
    assert [run.kernel for run in outer] == ["reference"] * 2
    assert len(inner) == 1
    assert (inner[0].op, inner[0].device) == ("unary", "cpu")
    assert inner[0].seconds >= 0


def test_a_native_kernel_is_given_views_as_they_are(build_tagged: Callable[..., Path]) -> None:
    library = ops.load_library(build_tagged(1), name="tagged")
    try:
        tagged = ops.get("tagged")
        np.testing.assert_array_equal(tagged(X[::-1, ::-2]), X[::-1, ::-2] + 1)
        np.testing.assert_array_equal(tagged(np.broadcast_to(X[0], (4, 3)), 2.0)[3], X[0] * 2 + 1)
        with pytest.raises(OperatorArgumentError, match="seven") as caught:
            tagged(np.ones(7, "f4"))
        assert caught.value.got == "7"
    finally:
        library.unload()

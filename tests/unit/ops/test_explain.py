from __future__ import annotations

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError
from openautoglm.ops.explain import Explanation


def test_it_prints_as_a_table() -> None:
    refusals = (("cuda", "the call is on cpu"), ("a_long_name", "predicate said no"))
    told = str(Explanation(op="add", winner="fast", refusals=refusals, copies=True))
    assert told.splitlines() == [
        "add: fast (copies inputs that are not contiguous)",
        "  cuda         the call is on cpu",
        "  a_long_name  predicate said no",
    ]
    assert str(Explanation(op="add", winner=None, refusals=())) == "add: no kernel takes this call"


@pytest.mark.usefixtures("owned")
def test_it_names_the_winner_and_why_each_other_lost() -> None:
    op = ops.define("told", inputs=[ops.In("x")], reference=lambda x: x)
    op.kernel("gpu", device="cuda")(lambda x, *, out: None)  # noqa: ARG005 - never called
    op.kernel("halves", dtypes=("f16",))(lambda x, *, out: None)  # noqa: ARG005 - never called
    op.kernel("tensors", language="torch")(lambda x, *, out: None)  # noqa: ARG005 - never called
    told = op.explain(np.ones(2))
    assert told.winner == "reference"
    assert dict(told.refusals) == {
        "gpu": "cuda kernel, the call is on cpu",
        "halves": "takes f16, x is f64",
        "tensors": "expects torch tensors, the call has numpy arrays",
    }
    assert op.counts() == {}
    with pytest.raises(OperatorArgumentError):
        op.explain(np.ones(2), np.ones(2))


@pytest.mark.usefixtures("owned")
def test_a_contiguous_layout_says_that_it_copies() -> None:
    parts = [ops.In("x"), ops.In("y", layout="contiguous")]
    op = ops.define("dense_y", inputs=parts, reference=lambda x, y: x + y)
    square = np.ones((2, 3))
    assert op.explain(square, square.T.copy().T).copies
    assert not op.explain(square.T.copy().T, square).copies

"""No false alarm: operators that keep their contracts pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

pytest.importorskip("torch", reason="the rows about gradients and graphs need torch")

from openautoglm import ops
from openautoglm.ops.check import check

PLUGINS: Final = Path(__file__).parents[4] / "plugins" / "ops"


@pytest.mark.parametrize("name", ops.names())
def test_a_built_in_operator_passes(name: str) -> None:
    report = check(name, profile="quick")

    assert report.ok, str(report)


@pytest.mark.parametrize("folder", ["fast-add", "plain-c"])
def test_a_plugin_passes(folder: str) -> None:
    report = check(PLUGINS / folder, profile="quick")

    assert report.ok, str(report)


def test_an_operator_on_lists_of_arrays_passes() -> None:
    def reference(xs: list[Any]) -> Any:  # noqa: ANN401 - arrays
        total = xs[0] * 1
        for x in xs[1:]:
            total = total + x
        return total

    total = ops.define(
        "total_",
        inputs=[ops.In("xs", shape=("...",), many=True)],
        outputs=[ops.Out("total", shape=("...",))],
        reference=reference,
    )
    try:
        report = check(total, profile="quick", grad=False)
    finally:
        ops.remove("total_")

    assert report.ok, str(report)


def test_an_operator_on_integers_passes() -> None:
    shifted = ops.define(
        "shifted_",
        inputs=[ops.In("x", dtypes=("i32", "i64"))],
        attrs=[ops.Attr("by", int, 1, low=-4, high=4)],
        outputs=[ops.Out("z", like="x")],
        reference=lambda x, by: x + by,
    )
    try:
        report = check(shifted, profile="quick")
    finally:
        ops.remove("shifted_")

    assert report.ok, str(report)

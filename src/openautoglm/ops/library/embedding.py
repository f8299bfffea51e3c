"""`embedding`: rows of a table by their numbers."""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops.arguments import In, Out
from openautoglm.ops.library.terms import picked
from openautoglm.ops.opdef import OpDef


def _reference(table: Any, ids: Any) -> Any:  # noqa: ANN401 - arrays
    return picked(table, ids)


EMBEDDING: Final = OpDef(
    "embedding",
    inputs=[
        In("table", dtypes=("f32", "bf16", "f16"), shape=("v", "d")),
        In("ids", dtypes=("i64",), shape=("n",)),
    ],
    outputs=[Out("out", shape=("n", "d"), dtype="f32")],
    reference=_reference,
    amp="keep",
    doc="Return the rows of a table by their numbers, as f32; a number outside it gives NaN.",
)
"""Rows of a table."""

"""`lora`: what low-rank adapters add to the rows that have one.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021. Adapters lie stacked, so that
rows of many go through one call.
"""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops.arguments import Attr, In, Out
from openautoglm.ops.library.terms import namespace, narrowed, picked, quiet
from openautoglm.ops.opdef import OpDef


def _reference(  # noqa: PLR0913, PLR0917 - the operator's own arguments
    y: Any,  # noqa: ANN401 - arrays, as below
    x: Any,  # noqa: ANN401 - arrays
    a: Any,  # noqa: ANN401 - arrays
    b: Any,  # noqa: ANN401 - arrays
    rank: Any,  # noqa: ANN401 - arrays
    adapter: Any,  # noqa: ANN401 - arrays
    begin: int,
) -> Any:  # noqa: ANN401 - an array
    xp = namespace(y)
    with quiet(y):
        ranks = picked(rank[:, None], adapter)  # NaN where there is no such adapter
        used = xp.arange(a.shape[1])[None] < ranks
        narrow = xp.einsum("ni,nri->nr", x, picked(a, adapter))
        narrow = xp.where(used, narrow, xp.zeros_like(narrow))
        up = picked(b, adapter)
        added = xp.einsum("nr,nro->no", narrow, xp.where(used[..., None], up, xp.zeros_like(up)))
        before = y[:, :begin]
        part = y[:, begin : begin + b.shape[2]]
        after = y[:, begin + b.shape[2] :]
        changed = xp.where(used.any(1)[:, None], part + added[:, : part.shape[1]], part)
        whole = xp.concatenate([before, changed, after], 1)
        return narrowed(xp.where((adapter < a.shape[0])[:, None], whole, y * float("nan")), y)


LORA: Final = OpDef(
    "lora",
    inputs=[
        In("y", dtypes=("f32",), shape=("n", "w")),
        In("x", shape=("n", "i"), layout="contiguous"),
        In("a", shape=("s", "r", "i"), layout="contiguous"),
        In("b", shape=("s", "r", "o"), layout="contiguous"),
        In("rank", dtypes=("i64",), shape=("s",), layout="contiguous"),
        In("adapter", dtypes=("i64",), shape=("n",), layout="contiguous"),
    ],
    attrs=[Attr("begin", int, 0, low=0)],
    outputs=[Out("out", like="y")],
    reference=_reference,
    amp="keep",
    doc="Add what each row's adapter makes of x: the sum over r of (x . a[s, r]) * b[s, r].\n\n"
    "It is added to y from output `begin` on; what would lie behind its last is left out. "
    "s is adapter[n]; only the first rank[s] of its ranks count, the rest may hold anything. A row "
    "whose adapter is below 0, or has the rank 0, is y to the last bit; one whose adapter is not "
    "there gives NaN. What a row gives does not depend on the rows beside it.",
)
"""What adapters add to the rows that have one."""

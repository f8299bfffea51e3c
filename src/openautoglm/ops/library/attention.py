"""`attention` and `attention_bf16`: queries against a cache of keys and values.

Vaswani et al., "Attention Is All You Need", 2017; shared key heads as in Ainslie et al., "GQA",
2023. One operator serves prompts and decoding: every row says which slot of the cache it belongs to
and at which position it stands.
"""

from __future__ import annotations

from typing import Any, Final

from openautoglm.ops.arguments import Attr, In, Out
from openautoglm.ops.library.terms import namespace, narrowed, picked, quiet, widened
from openautoglm.ops.opdef import OpDef


def _reference(  # noqa: PLR0913, PLR0917 - the operator's own arguments
    q: Any,  # noqa: ANN401 - arrays, as below
    k: Any,  # noqa: ANN401 - arrays
    v: Any,  # noqa: ANN401 - arrays
    slot: Any,  # noqa: ANN401 - arrays
    position: Any,  # noqa: ANN401 - arrays
    scale: float,
    window: int,
) -> Any:  # noqa: ANN401 - arrays
    xp = namespace(q)
    n, h, g, w = q.shape
    length = k.shape[2] * k.shape[4]
    if not n * h * g * w * length * k.shape[0]:
        return q * float("nan")
    with quiet(q):
        keys = xp.moveaxis(widened(k), 3, 4).reshape(k.shape[0], h, length, w)
        values = widened(v).reshape(v.shape[0], h, length, w)
        scores = xp.einsum("nhgw,nhtw->nhgt", q, picked(keys, slot)) * scale
        at = xp.arange(length)[None]
        place = position[:, None]
        seen = (at <= place) & ((at > place - window) if window > 0 else (at >= 0))
        weights = _softmax(xp.where(seen[:, None, None, :], scores, -float("inf")), xp)
        # NaN where a row does not look is no matter
        looked_at = xp.where(seen[:, None, :, None], picked(values, slot), 0.0)
        mixed = xp.einsum("nhgt,nhtw->nhgw", weights, looked_at)
        placed = (position >= 0) & (position < length)
        return narrowed(xp.where(placed[:, None, None, None], mixed, mixed * float("nan")), q)


def _softmax(scores: Any, xp: Any) -> Any:  # noqa: ANN401 - an array, a module
    peak = scores.amax(-1)[..., None] if xp.__name__ == "torch" else scores.max(axis=-1)[..., None]
    raised = xp.exp(scores - peak)
    return raised / raised.sum(-1)[..., None]


def _definition(name: str, kept: str, doc: str) -> OpDef:
    k, v = ("s", "h", "b", "w", 16), ("s", "h", "b", 16, "w")
    return OpDef(
        name,
        inputs=[
            In("q", dtypes=("f32",), shape=("n", "h", "g", "w"), layout="contiguous"),
            In("k", dtypes=(kept,), shape=k, layout="contiguous"),
            In("v", dtypes=(kept,), shape=v, layout="contiguous"),
            In("slot", dtypes=("i64",), shape=("n",), layout="contiguous"),
            In("position", dtypes=("i64",), shape=("n",), layout="contiguous"),
        ],
        attrs=[Attr("scale", float, 1.0), Attr("window", int, 0, low=0)],
        outputs=[Out("out", like="q")],
        reference=_reference,
        amp="keep",
        doc=doc,
    )


ATTENTION: Final = _definition(
    "attention",
    "f32",
    "Mix the values that each query looks at, weighted by the softmax of its scores.\n\n"
    "q holds n rows of h key heads with g queries each, w wide. The cache holds, for every slot "
    "and key head, b blocks of 16 positions: keys as (w, 16), values as (16, w). Row n looks at "
    "slot[n], at positions up to position[n], and with a window at the last `window` of them only; "
    "what the others hold is no matter. "
    "Scores are q times key times `scale`. What a row gives does not depend on the rows beside it. "
    "A row whose slot or position lies outside the cache gives NaN.",
)
"""Queries against a cache of keys and values."""

ATTENTION_BF16: Final = _definition(
    "attention_bf16",
    "bf16",
    "Do what `attention` does with keys and values that are kept in bf16.\n\n"
    "They are widened to f32, in which all is computed; only how they are kept is less exact.",
)
"""Queries against a cache that takes half the memory."""

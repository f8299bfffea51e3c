"""Weights as the operators want them: fused, reordered for rotary pairs, packed, quantized.

Owns `Packed`, what its arrays are called, and the check of stored weights against a config.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, final

import numpy as np

from openautoglm.engine.backends.native.weights.files import Stored
from openautoglm.engine.backends.native.weights.matrix import Matrix, Part, pair_order, row_order
from openautoglm.engine.backends.native.weights.packing import INT4_WORD, Target, pack_part
from openautoglm.engine.backends.native.weights.shared import Piece, Shared
from openautoglm.engine.memory import check_fits, free_bytes
from openautoglm.engine.progress import counted
from openautoglm.errors import ModelFolderError
from openautoglm.ops.library.linear import BLOCK
from openautoglm.ops.library.linear_int4 import GROUP as INT4_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openautoglm.engine.backends.native.families.architecture import Architecture

    Array = np.ndarray[Any, np.dtype[Any]]

Mode: TypeAlias = Literal["fp32", "bf16", "int8", "int4"]
GROUPS: Final[Mapping[Mode, int]] = {"fp32": 1, "bf16": 2, "int8": 4, "int4": INT4_WORD}
"""Steps of the depth that lie side by side in 4 bytes of a packed weight."""
EMBEDDING: Final = "model.embed_tokens"
HEAD: Final = "lm_head"
NORM: Final = "model.norm"
HEAD_NAME: Final = "head"
"""What the packed head is called."""
IGNORED: Final = ("rotary_emb.inv_freq",)
"""Ends of names of what old folders store and nobody needs."""
_SHOWN: Final = 4
_DTYPES: Final = {"fp32": "float32", "bf16": "uint16", "int8": "int8", "int4": "uint8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """A matrix the decoder multiplies by.

    Attributes:
        name: of the packed arrays.
        sources: names of the stored matrices, from the first row on.
        rows: of each source.
        depth: of all.
        heads: by source: how many heads' rotary pairs are reordered; 0 for none.
        is_biased: the sources have biases.
    """

    name: str
    sources: tuple[str, ...]
    rows: tuple[int, ...]
    depth: int
    heads: tuple[int, ...]
    is_biased: bool = False

    @property
    def outputs(self) -> int:
        """Rows of all sources."""
        return sum(self.rows)

    @property
    def blocks(self) -> int:
        """Blocks of 16 outputs."""
        return -(-self.outputs // BLOCK)

    def kept(self, mode: Mode) -> Mode:
        """Return how it is kept in a mode: int4 is for what is deep enough, and not for the head.

        Logits are the head's own sums, and its errors go straight into them.
        """
        fits = self.name != HEAD_NAME and self.depth % INT4_GROUP == 0
        return "int8" if mode == "int4" and not fits else mode

    def packed(self, mode: Mode) -> Iterator[Piece]:
        """Yield the arrays it becomes."""
        kept = self.kept(mode)
        group = GROUPS[kept]
        shape: tuple[int, ...] = (self.blocks, self.depth // group, BLOCK)
        if kept == "int4":
            groups = (self.blocks, self.depth // INT4_GROUP)
            shape = (*groups, INT4_GROUP // group, BLOCK, group // 2)
            yield Piece(f"{self.name}.grid", (*groups, BLOCK), "uint8")
        elif group > 1:
            shape = (*shape, group)
        yield Piece(f"{self.name}.weight", shape, _DTYPES[kept])
        if kept in {"int8", "int4"}:
            yield Piece(f"{self.name}.scale", (self.blocks, BLOCK), "float32")
        if self.is_biased:
            yield Piece(f"{self.name}.bias", (self.blocks, BLOCK), "float32")


@dataclass(frozen=True, slots=True)
class Norm:
    """A norm's weight: the name of what it becomes, its source, its size, whether it has pairs."""

    name: str
    source: str
    size: int
    has_pairs: bool = False


def linears(a: Architecture) -> Iterator[Linear]:
    """Yield the matrices of a decoder."""
    parts = a.parts
    for layer in range(a.layers):
        at, to = f"model.layers.{layer}.", f"{layer}."
        yield Linear(
            name=f"{to}qkv",
            sources=tuple(f"{at}self_attn.{part}_proj" for part in "qkv"),
            rows=(a.attended, a.keyed, a.keyed),
            depth=a.hidden,
            heads=(a.heads, a.key_heads, 0),
            is_biased=parts.is_qkv_biased,
        )
        yield _single(
            f"{to}out", f"{at}self_attn.o_proj", (a.hidden, a.attended), parts.is_out_biased
        )
        fused = len(parts.gate_up) == 1
        yield Linear(
            name=f"{to}gate_up",
            sources=tuple(f"{at}{part}" for part in parts.gate_up),
            rows=(2 * a.intermediate,) if fused else (a.intermediate,) * 2,
            depth=a.hidden,
            heads=(0,) * len(parts.gate_up),
            is_biased=parts.is_gated_biased,
        )
        yield _single(
            f"{to}down", f"{at}mlp.down_proj", (a.hidden, a.intermediate), parts.is_gated_biased
        )
    yield _single(HEAD_NAME, EMBEDDING if a.is_tied else HEAD, (a.vocabulary, a.hidden), False)


def _single(name: str, source: str, shape: tuple[int, int], is_biased: bool) -> Linear:  # noqa: FBT001 - within this file
    return Linear(
        name=name,
        sources=(source,),
        rows=(shape[0],),
        depth=shape[1],
        heads=(0,),
        is_biased=is_biased,
    )


def norms(a: Architecture) -> Iterator[Norm]:
    """Yield the norms of a decoder."""
    parts = a.parts
    wide = {
        "norm_attention": parts.norm_attention,
        "norm_gated": parts.norm_gated,
        "norm_after_attention": parts.norm_after_attention,
        "norm_after_gated": parts.norm_after_gated,
    }
    for layer in range(a.layers):
        at = f"model.layers.{layer}."
        for name, source in wide.items():
            if source:
                yield Norm(f"{layer}.{name}", at + source, a.hidden)
        for name, source in (("norm_query", parts.norm_query), ("norm_key", parts.norm_key)):
            if source:
                yield Norm(f"{layer}.{name}", at + source, a.head_width, has_pairs=True)
    yield Norm("norm", NORM, a.hidden)


def expected(a: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the shape of each stored weight that a decoder needs."""
    shapes: dict[str, tuple[int, ...]] = {f"{EMBEDDING}.weight": (a.vocabulary, a.hidden)}
    for linear in linears(a):
        for source, rows in zip(linear.sources, linear.rows, strict=True):
            shapes[f"{source}.weight"] = (rows, linear.depth)
            if linear.is_biased:
                shapes[f"{source}.bias"] = (rows,)
    shapes.update({f"{norm.source}.weight": (norm.size,) for norm in norms(a)})
    return shapes


def check_weights(stored: Mapping[str, Stored], a: Architecture) -> None:
    """Refuse weights that are not those the config speaks of.

    Raises:
        ModelFolderError: some are missing, too many, or of another shape.
    """
    shapes = expected(a)
    spare = set(stored) - set(shapes)
    if a.is_tied:
        spare.discard(f"{HEAD}.weight")
    extra = sorted(name for name in spare if not name.endswith(IGNORED))
    for problem, names in (("lack some", sorted(set(shapes) - set(stored))), ("hold more", extra)):
        if names:
            raise ModelFolderError(
                f"the weights {problem} than config.json speaks of"
                if problem == "hold more"
                else "the weights lack some that config.json speaks of",
                got=_listed(names),
                fix='check that both are of one model, or use backend="transformers"',
            )
    for name, shape in shapes.items():
        _check_shape(name, stored[name].array.shape, shape, a)


def as_stored(stored: Mapping[str, Stored], a: Architecture) -> Architecture:
    """Return the architecture untied where a head of its own is stored, as transformers does."""
    head, embedding = stored.get(f"{HEAD}.weight"), stored.get(f"{EMBEDDING}.weight")
    if not a.is_tied or head is None or embedding is None:
        return a
    return replace(a, is_tied=np.array_equal(head.array, embedding.array))


def _check_shape(name: str, got: tuple[int, ...], shape: tuple[int, ...], a: Architecture) -> None:
    if got == shape:
        return
    if shape[0] == a.vocabulary and got[1:] == shape[1:]:
        raise ModelFolderError(
            "the vocabulary of the weights is not that of config.json",
            got=f"{name} has {got[0]} rows, `vocab_size` is {a.vocabulary}",
            fix="set `vocab_size` to the rows of the embedding, or take both from one model",
        )
    raise ModelFolderError(
        "a weight's shape is not what config.json says",
        got=f"{name} is {list(got)}, config.json makes it {list(shape)}",
        fix="take config.json and the weights from one model",
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What must be known of stored weights by who is lent the converted ones and reads no file.

    Attributes:
        is_tied: the head is the embedding.
        shape: of the embedding, which was copied.
        dtype: NumPy's name of its dtype.
        is_bf16: as in `Stored`.
    """

    is_tied: bool
    shape: tuple[int, ...]
    dtype: str
    is_bf16: bool

    def table(self) -> Stored:
        """Return an embedding of this kind, without its values."""
        nothing = np.zeros((), self.dtype)
        return Stored(np.broadcast_to(nothing, self.shape), is_bf16=self.is_bf16)


@final
class Packed:
    """A decoder's weights, converted.

    Args:
        stored: the folder's weights, which are checked; or their outline, where another process
            converted them.
        architecture: of the decoder.
        mode: which linear operator they are for.
        descriptor: of memory in which another process converted them already, or -1.
        threads: how many may share the conversion.

    Attributes:
        embedding: the embedding's rows, as the file has them where it can be mapped.
        shared: where the arrays lie.

    Raises:
        ModelFolderError: they are not what config.json speaks of.
        WeightsCorruptError: values that are not finite.
        ModelTooLargeError: they do not fit the memory that is free.
    """

    def __init__(
        self,
        stored: Mapping[str, Stored] | Outline,
        architecture: Architecture,
        mode: Mode,
        *,
        descriptor: int = -1,
        threads: int = 1,
    ) -> None:
        if isinstance(stored, Outline):
            architecture = replace(architecture, is_tied=stored.is_tied)
            table = stored.table()
        else:
            architecture = as_stored(stored, architecture)
            check_weights(stored, architecture)
            table = stored[f"{EMBEDDING}.weight"]
        self.architecture = architecture
        self.mode = mode
        pieces = list(_pieces(architecture, mode, table))
        if descriptor < 0:
            needed = sum(piece.nbytes for piece in pieces)
            check_fits(
                needed,
                free_bytes(),
                what=f"the model in {mode}",
                fix='use mode "int8" or "int4", a smaller model, or free memory',
            )
        self.shared = Shared(pieces, descriptor)
        self.arrays: Mapping[str, Array] = self.shared.arrays
        self._order, self._threads = pair_order(architecture), threads
        if not isinstance(stored, Outline) and descriptor < 0:
            self._convert(stored)
        copied = self.arrays.get("embedding")
        self.embedding = table if copied is None else Stored(copied, is_bf16=table.is_bf16)

    @property
    def outline(self) -> Outline | None:
        """What one who is lent these must know to read no file; None where it maps one."""
        if "embedding" not in self.arrays:
            return None
        array, is_bf16 = self.embedding.array, self.embedding.is_bf16
        return Outline(
            is_tied=self.architecture.is_tied,
            shape=array.shape,
            dtype=array.dtype.name,
            is_bf16=is_bf16,
        )

    def _convert(self, stored: Mapping[str, Stored]) -> None:
        for linear in counted(list(linears(self.architecture))):
            self._pack(linear, stored)
        for norm in norms(self.architecture):
            order = self._order if norm.has_pairs else None
            part = _part(stored, f"{norm.source}.weight", order)
            self.arrays[norm.name][:] = Matrix([part]).whole()
        table = _part(stored, f"{EMBEDDING}.weight", None)
        if not self.architecture.is_tied:
            for _ in Matrix([table]).pieces():  # the head's conversion looks at it otherwise
                pass
        if "embedding" in self.arrays:
            self.arrays["embedding"][:] = table.stored.array

    def _pack(self, linear: Linear, stored: Mapping[str, Stored]) -> None:
        orders = [row_order(heads, self._order) if heads else None for heads in linear.heads]
        sources = list(zip(linear.sources, orders, strict=True))
        target = Target(
            self.arrays[f"{linear.name}.weight"],
            GROUPS[linear.kept(self.mode)],
            scale=self.arrays.get(f"{linear.name}.scale"),
            grid=self.arrays.get(f"{linear.name}.grid"),
        )
        row = 0
        for name, order in sources:
            part = _part(stored, f"{name}.weight", order)
            row += pack_part(part, row, target, threads=self._threads)
        if linear.is_biased:
            parts = [_part(stored, f"{name}.bias", order) for name, order in sources]
            self.arrays[f"{linear.name}.bias"].reshape(-1)[: linear.outputs] = Matrix(parts).whole()


def _pieces(a: Architecture, mode: Mode, table: Stored) -> Iterator[Piece]:
    for linear in linears(a):
        yield from linear.packed(mode)
    yield from (Piece(norm.name, (norm.size,), "float32") for norm in norms(a))
    if not table.is_mapped or not table.array.flags.aligned:
        yield Piece("embedding", table.array.shape, table.array.dtype.name)


def _part(stored: Mapping[str, Stored], name: str, order: Array | None) -> Part:
    return Part(name, stored[name], order)

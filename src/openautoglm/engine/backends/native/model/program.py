"""The step of a decoder as a program of operator calls.

Owns `Step`, `Calls` and `Decoder`: which operators run in which order on which buffers. Knows
nothing of folders, slots' owners or tokens' meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from openautoglm import ops
from openautoglm.errors import OperatorArgumentError
from openautoglm.native.program import Program, Rows
from openautoglm.ops.catalog import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openautoglm.engine.backends.native.adapters.loaded import Stack
    from openautoglm.engine.backends.native.model.cache import Cache
    from openautoglm.engine.backends.native.weights.convert import Packed
    from openautoglm.native.program import Operand
    from openautoglm.ops.registered import RegisteredOperator

    Array = np.ndarray[Any, np.dtype[Any]]

ROWS: Final = 0
"""Which number of a play counts its rows."""
LOGITS: Final = 1
"""Which number counts the rows that get logits."""
STORE: Final = "store"
"""What the copy of keys and values into the cache is called; it is no operator."""
LINEARS: Final = {
    "float32": "linear",
    "uint16": "linear_bf16",
    "int8": "linear_int8",
    "uint8": "linear_int4",
}
"""Operators by what a packed weight's numbers are in."""
_OUTSIDE: Final = -1


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One call of the program.

    Attributes:
        layer: which layer it belongs to; -1 for none.
        operator: its name, or `STORE`.
        operands: inputs, attributes and the output, as the program takes them.
        called: the operator; None for the copy.
    """

    layer: int
    operator: str
    operands: Sequence[Operand] = ()
    called: RegisteredOperator | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """A program, what each of its calls is, and what Python spent on each while it was timed.

    Attributes:
        program: the calls.
        steps: by call: what it is.
        in_python: by call: nanoseconds of kernels written in Python, of plays that were timed.
    """

    program: Program = field(default_factory=Program)
    steps: list[Step] = field(default_factory=list)
    in_python: list[int] = field(default_factory=list)

    @property
    def is_current(self) -> bool:
        """Whether no operator was replaced since; one that was removed goes on working."""
        operators = {step.operator: step.called for step in self.steps if step.called is not None}
        return all(
            found is ops.get(name) for name, found in operators.items() if OPERATORS.has(name)
        )


@final
class Decoder:
    """The buffers of a decoder, and the programs over them.

    Args:
        packed: its weights.
        cache: its keys and values.
        rows: most rows of a play.
        context: positions of a slot.

    Attributes:
        tokens, slots, positions: by row, int64.
        adapters: by row: its adapter's index, -1 for none, int64.
        last: by row of logits: which row they are of, int64.
        slots_last, positions_last, adapters_last: by row of logits: what the others are by row.
        logits: (rows, vocabulary filled up to blocks).
    """

    def __init__(self, packed: Packed, cache: Cache, rows: int, context: int) -> None:
        a = packed.architecture
        self._a, self._packed, self._cache, self._rows = a, packed, cache, rows
        # of the program in the making
        self._calls = Calls()
        self._stacks: Mapping[str, Sequence[Stack]] = {}
        self.tokens, self.slots, self.positions, self.last = np.zeros((4, rows), np.int64)
        self.slots_last, self.positions_last = np.zeros((2, rows), np.int64)
        self.adapters, self.adapters_last = np.zeros((2, rows), np.int64)
        self._count = ROWS  # of the calls that are being added
        self._angles = [Rows(t) for t in a.rope.tables(a.rotary, a.head_width, context)]
        self._stream, self._normed, self._added = (self._room(a.hidden) for _ in range(3))
        self._streams = self._stream, self._room(a.hidden)  # of all rows, of those with logits
        self._qkv = self._room(a.attended + 2 * a.keyed)
        self._heads = self._room(a.heads, a.head_width), self._room(a.key_heads, a.head_width)
        self._turned = self._room(a.heads, a.head_width), self._room(a.key_heads, a.head_width)
        self._asked, self._mixed = self._room(a.attended), self._room(a.attended)
        self._gate_up, self._gated = self._room(2, a.intermediate), self._room(a.intermediate)
        self.logits = self._room(packed.arrays["head.weight"].shape[0] * 16)

    def calls(self, stacks: Mapping[str, Sequence[Stack]] = MappingProxyType({})) -> Calls:
        """Return a program of one step, with what adapters add; not from two threads at once.

        Args:
            stacks: of adapters' matrices, by the packed matrix whose outputs they add to.
        """
        self._calls, self._stacks = Calls(), stacks
        self._count, self._stream = ROWS, self._streams[0]
        embedding = self._packed.embedding
        table = Rows(embedding.array, is_bf16=embedding.is_bf16)
        self._call(_OUTSIDE, "embedding", table, self._of(self.tokens), self._of(self._stream))
        for layer in range(self._a.layers):
            self._attend(layer)
            self._gate(layer)
        chosen, normed = self._of(self._stream), self._of(self._normed)
        self._call(_OUTSIDE, "rms_norm", chosen, self._weight("norm"), self._a.eps, normed)
        self._linear(_OUTSIDE, "head", self._normed, self.logits)
        self._calls.in_python.extend([0] * len(self._calls.steps))
        made, self._calls, self._stacks = self._calls, Calls(), {}  # nothing of it is kept here
        return made

    def _attend(self, layer: int) -> None:
        a = self._a
        self._norm(layer, "norm_attention", self._stream, self._normed)
        self._linear(layer, "qkv", self._normed, self._qkv)
        ends = (0, a.attended, a.attended + a.keyed, a.attended + 2 * a.keyed)
        query, key, value = (
            self._qkv[:, begin:end].reshape(self._rows, -1, a.head_width)
            for begin, end in pairwise(ends)
        )
        self._turn(layer, 0, "norm_query", query)
        self._turn(layer, 1, "norm_key", key)
        is_bf16 = self._cache.is_bf16
        kept = self._cache.keys[layer], self._cache.values[layer]
        keys, values = (Rows(array, is_bf16=is_bf16) for array in kept)
        self._store(layer, self._turned[1], keys, is_blocked=True)
        self._store(layer, value, values, is_blocked=False)
        asked, slots, positions = self._turned[0], self.slots, self.positions
        if layer == a.layers - 1:
            asked, slots, positions = self._choose(layer), self.slots_last, self.positions_last
        shape = (self._rows, a.key_heads, a.group, a.head_width)
        self._call(
            layer,
            "attention_bf16" if is_bf16 else "attention",
            *(self._of(asked.reshape(shape)), keys, values, self._of(slots), self._of(positions)),
            *(a.head_width**-0.5, a.windows[layer]),
            self._of(self._mixed.reshape(shape)),
        )
        self._add(layer, "out", "norm_after_attention", self._mixed)

    def _choose(self, layer: int) -> Array:
        """Go on with the rows alone that get logits, and return what they ask of the cache.

        Of the others nothing is read any more but the keys and values that were stored.
        """
        turned = self._turned[0].reshape(self._rows, -1)
        last = Rows(self.last, LOGITS)
        for source, target in ((turned, self._asked), self._streams):
            self._call(layer, "embedding", Rows(source), last, Rows(target, LOGITS))
        self._count, self._stream = LOGITS, self._streams[1]
        return self._asked

    def _gate(self, layer: int) -> None:
        self._norm(layer, "norm_gated", self._stream, self._normed)
        self._linear(layer, "gate_up", self._normed, self._gate_up)
        self._call(layer, "silu_gated", self._of(self._gate_up), self._of(self._gated))
        self._add(layer, "down", "norm_after_gated", self._gated)

    def _turn(self, layer: int, which: int, norm: str, source: Array) -> None:
        """Bring heads to their position: a norm where the family has one, then the angles."""
        if f"{layer}.{norm}" in self._packed.arrays:
            self._norm(layer, norm, source, self._heads[which])
            source = self._heads[which]
        halves = (self._rows, -1, 2, self._a.head_width // 2)
        turned = self._of(self._turned[which].reshape(halves))
        place = self._of(self.positions)
        self._call(layer, "rope", self._of(source.reshape(halves)), place, *self._angles, turned)

    def _add(self, layer: int, linear: str, norm: str, source: Array) -> None:
        """Add what a linear gives to the stream, normed where the family does."""
        if f"{layer}.{norm}" not in self._packed.arrays:
            self._linear(layer, linear, source, self._stream, is_added=True)
            return
        self._linear(layer, linear, source, self._added)
        self._norm(layer, norm, self._added, self._normed)
        stream = self._of(self._stream)
        self._call(layer, "add", stream, self._of(self._normed), 1.0, stream)

    def _norm(self, layer: int, name: str, source: Array, target: Array) -> None:
        weight = self._weight(f"{layer}.{name}")
        self._call(layer, "rms_norm", self._of(source), weight, self._a.eps, self._of(target))

    def _linear(
        self,
        layer: int,
        name: str,
        source: Array,
        target: Array,
        *,
        is_added: bool = False,
    ) -> None:
        place = name if layer == _OUTSIDE else f"{layer}.{name}"
        arrays = self._packed.arrays
        weight = arrays[f"{place}.weight"]
        operator = LINEARS[weight.dtype.name]
        group = source[0].size // weight.shape[1]
        x = source.reshape(self._rows, -1, group) if group > 1 else source
        out = self._of(target.reshape(self._rows, -1, 16))
        parts = [self._weight(n) for n in (f"{place}.grid", f"{place}.scale") if n in arrays]
        bias = self._weight(f"{place}.bias") if f"{place}.bias" in arrays else None
        residual = out if is_added else None
        kept = Rows(weight, is_bf16=weight.dtype.name == "uint16")
        self._call(layer, operator, self._of(x), kept, *parts, bias, residual, out)
        for stack in self._stacks.get(place, ()):
            self._adapt(layer, stack, source, target)

    def _adapt(self, layer: int, stack: Stack, source: Array, target: Array) -> None:
        """Add what adapters make of the rows to some outputs of a linear."""
        y = self._of(target.reshape(self._rows, -1))
        adapters = self._of(self.adapters if self._count == ROWS else self.adapters_last)
        x, weights = self._of(source), (Rows(stack.a), Rows(stack.b), Rows(stack.rank))
        self._call(layer, "lora", y, x, *weights, adapters, stack.begin, y)

    def _store(self, layer: int, source: Array, target: Rows, *, is_blocked: bool) -> None:
        places = self._of(self.slots), self._of(self.positions)
        program = self._calls.program
        program.copy_rows(self._of(source), *places, target, is_blocked=is_blocked)
        self._calls.steps.append(Step(layer, STORE))

    def _call(self, layer: int, operator: str, *operands: Operand) -> None:
        called = ops.get(operator)
        cell = called.table.cell
        assert cell is not None  # noqa: S101 - a model is not made without the core
        try:
            self._calls.program.call(cell.number, operands)
        except TypeError as cause:  # it was replaced
            raise OperatorArgumentError(
                f"the operator `{operator}` that is registered now is not what a decoder calls",
                got=str(cause),
                fix=f'give it the inputs it had, or call ops.rollback("{operator}")',
            ) from cause
        self._calls.steps.append(Step(layer, operator, operands, called))

    def _weight(self, name: str) -> Rows:
        return Rows(self._packed.arrays[name])

    def _of(self, array: Array) -> Rows:
        return Rows(array, self._count)

    def _room(self, *shape: int) -> Array:
        return np.zeros((self._rows, *shape), np.float32)

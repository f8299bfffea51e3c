"""One call of one kernel, watched: memory, values, and whether it gives the same again.

Owns `Trial` and `Outcome`. Runs where a crash may happen, in a process of its own; what it returns
is plain data. The call goes the way of every call in Python, so that copies to contiguous inputs
are made as they are for users.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from openautoglm.ops import dispatch
from openautoglm.ops.call import infer_outputs
from openautoglm.ops.check import oracle
from openautoglm.ops.check.memory import Block, on_device, place, place_output, read, same_bytes
from openautoglm.ops.check.sample import DENSE
from openautoglm.ops.choose import choose
from openautoglm.ops.machine import machine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.ops.arguments import ArraySpec
    from openautoglm.ops.check.memory import Bits
    from openautoglm.ops.check.oracle import Tolerances, Value
    from openautoglm.ops.check.sample import Sample
    from openautoglm.ops.kernel import Kernel
    from openautoglm.ops.table import KernelTable

REPEATED: Final = ("values", "shapes", "strides")
"""Rows whose calls are made twice, to see whether the answer is the same."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A property that does not hold, and how that shows."""

    row: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one call.

    Attributes:
        problems: what does not hold.
        skipped: why the call was not made; empty where it was.
        rows: the rows that the call was a case of.
    """

    problems: tuple[Problem, ...] = ()
    skipped: str = ""
    rows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The arguments of one call in guarded memory."""

    inputs: list[object]
    blocks: tuple[Block, ...]
    outputs: tuple[Block, ...]

    @property
    def results(self) -> tuple[object, ...]:
        """The arrays of the outputs."""
        return tuple(block.array for block in self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Calls of one kernel.

    Attributes:
        table: the operator's kernels.
        kernel: the one that is asked.
        tolerances: by dtype.
        as_torch: whether the kernel needs torch's tensors.
        device: where the arrays are; tensors if it is not the CPU.
    """

    table: KernelTable
    kernel: Kernel
    tolerances: Tolerances
    as_torch: bool = False
    device: str = "cpu"

    def ask(self, sample: Sample) -> Outcome:
        """Make one call and say what does not hold."""
        placed = self.place(sample)
        if placed is None:
            return Outcome(skipped="the array library has no such layout")
        refusal = self.refusal(sample, placed)
        if refusal:
            return Outcome(skipped=refusal)
        wanted = self._wanted(sample, placed)  # before the kernel may change the inputs
        before = [block.snapshot() for block in (*placed.blocks, *placed.outputs)]
        try:
            self.run(sample, placed)
        except Exception as error:  # noqa: BLE001 - whatever a kernel raises is a finding
            return Outcome(problems=(Problem("survives", first_line(error)),), rows=("survives",))
        problems = list(_memory_problems(placed, before))
        is_intact = not problems
        if wanted is not None:
            problems += self._value_problems(sample, placed, wanted)
        rows = ["survives", "inputs", "bounds", sample.row]
        if sample.row in REPEATED and is_intact:
            rows.append("determinism")
            problems += self._repeat_problems(sample, placed)
        return Outcome(problems=tuple(problems), rows=tuple(rows))

    def place(self, sample: Sample) -> Placed | None:
        """Put the inputs and outputs of a call into guarded memory; None where that cannot be."""
        opdef = self.table.opdef
        specs = sample.specs(opdef)
        outs = infer_outputs(opdef, specs, sample.attrs)
        as_torch = self.as_torch or oracle.needs_torch(
            [*sample.dtypes, *(spec.dtype for spec in outs)]
        )
        blocks: dict[int, Block] = {}
        inputs: list[object] = []
        for index, value in enumerate(oracle.draw(opdef, sample)):
            parts = value if isinstance(value, list) else [] if value is None else [value]
            arrays = []
            for bits in parts:
                if id(bits) not in blocks:
                    layout = sample.layouts[index]
                    made = place(bits, sample.dtypes[index], layout, as_torch=as_torch)
                    if made is None:
                        return None
                    blocks[id(bits)] = on_device(made, self.device)
                arrays.append(blocks[id(bits)].array)
            inputs.append(_argument(value, arrays))
        outputs = tuple(self._output(spec, as_torch=as_torch) for spec in outs)
        return Placed(inputs=inputs, blocks=tuple(blocks.values()), outputs=outputs)

    def refusal(self, sample: Sample, placed: Placed) -> str:
        """Return why the kernel does not take this call, empty where it does."""
        specs = dispatch.specs_of(self.table, placed.inputs)
        facts = dispatch.facts_of(self.table, placed.inputs, specs, sample.attrs)
        choice = choose((self.kernel,), facts, machine())
        return "" if choice.winner is not None else choice.refusals[0].reason

    def run(self, sample: Sample, placed: Placed) -> None:
        """Make the call."""
        with np.errstate(all="ignore"):
            dispatch.run(self.table, self.kernel, placed.inputs, sample.attrs, placed.results)
        if self.device != "cpu":  # what fails on a GPU says so when it is waited for
            sys.modules["torch"].cuda.synchronize()

    def again(self, sample: Sample, placed: Placed) -> Placed:
        """Return the same inputs with new outputs, filled by one more call."""
        specs = infer_outputs(self.table.opdef, sample.specs(self.table.opdef), sample.attrs)
        as_torch = not isinstance(placed.results[0], np.ndarray)
        outputs = tuple(self._output(spec, as_torch=as_torch) for spec in specs)
        made = Placed(inputs=placed.inputs, blocks=placed.blocks, outputs=outputs)
        self.run(sample, made)
        return made

    def _output(self, spec: ArraySpec, *, as_torch: bool) -> Block:
        return on_device(place_output(spec, as_torch=as_torch), self.device)

    def _value_problems(
        self, sample: Sample, placed: Placed, wanted: Sequence[Bits]
    ) -> Iterator[Problem]:
        opdef = self.table.opdef
        specs = infer_outputs(opdef, sample.specs(opdef), sample.attrs)
        for out, spec, block, value in zip(
            opdef.outputs, specs, placed.outputs, wanted, strict=True
        ):
            tolerance = self._tolerance(sample, spec)
            text = oracle.compare(read(block.array), value, spec.dtype, tolerance)
            if text:
                name = f"`{out.name}` is " if len(wanted) > 1 else ""
                yield Problem(sample.row, f"{name}{text}")

    def _wanted(self, sample: Sample, placed: Placed) -> tuple[Bits, ...] | None:
        """Return the reference's answer, or the kernel's own for dense inputs, or None."""
        opdef = self.table.opdef
        if opdef.reference is not None:
            inputs = [reading(value) for value in placed.inputs]
            return oracle.expected(opdef, inputs, sample.attrs)
        if all(layout in ("dense", "expanded") for layout in sample.layouts):
            return None
        dense = replace(sample, layouts=DENSE * len(sample.layouts))
        other = self.place(dense)
        if other is None:
            return None
        self.run(dense, other)
        return tuple(read(array) for array in other.results)

    def _tolerance(self, sample: Sample, out: ArraySpec) -> float:
        """Return the widest tolerance among the floats that go in and come out."""
        floats = [d for d in (*sample.dtypes, out.dtype) if d in self.tolerances]
        return max((self.tolerances[dtype] for dtype in floats), default=0.0)

    def _repeat_problems(self, sample: Sample, placed: Placed) -> Iterator[Problem]:
        other = self.again(sample, placed)
        if not same_bytes(placed.outputs, other.outputs):
            yield Problem("determinism", "a second call on the same inputs gives other bytes")


def reading(value: object) -> object:
    """Return an argument in the widest dtype, dense, in memory of its own."""
    if isinstance(value, list):
        return [reading(one) for one in value]
    return None if value is None else np.array(read(value))


def first_line(error: BaseException) -> str:
    """Return an error in one line, with its cause."""
    cause = f" ({first_line(error.__cause__)})" if error.__cause__ is not None else ""
    text = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {text}"[:300] + cause


def _argument(value: Value, arrays: Sequence[object]) -> object:
    if isinstance(value, list):
        return list(arrays)
    return arrays[0] if arrays else None


def _memory_problems(placed: Placed, before: Sequence[bytes]) -> Iterator[Problem]:
    inputs = len(placed.blocks)
    for place_in_list, (block, old) in enumerate(
        zip((*placed.blocks, *placed.outputs), before, strict=True)
    ):
        is_input = place_in_list < inputs
        where = block.changed_guards(old)
        if where:
            noun = "an input" if is_input else "an output"
            yield Problem("bounds", f"it writes out of bounds of {noun}, {where}")
        if is_input and block.is_changed(old):
            yield Problem("inputs", "it writes to an input")

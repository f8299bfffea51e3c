"""A decoder that runs: weights, cache, adapters and programs behind a few verbs.

Owns `Model`. Knows tokens as numbers; knows nothing of texts, requests or sampling.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from openautoglm.engine.backends.native.adapters.loaded import Bank
from openautoglm.engine.backends.native.adapters.weights import read_adapter
from openautoglm.engine.backends.native.families import FAMILIES
from openautoglm.engine.backends.native.families.config import Config
from openautoglm.engine.backends.native.model.cache import Cache
from openautoglm.engine.backends.native.model.calls import kernel_of, make
from openautoglm.engine.backends.native.model.program import Decoder
from openautoglm.engine.backends.native.weights.convert import GROUPS, Packed
from openautoglm.engine.backends.native.weights.files import read_weights
from openautoglm.engine.model_folder import read_config
from openautoglm.errors import (
    BackendUnavailableError,
    EngineClosedError,
    InvalidParameterError,
    SharedTensorError,
    UnknownArchitectureError,
)
from openautoglm.native.cells import unavailable
from openautoglm.ops.catalog import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from openautoglm.engine.backends.native.adapters.loaded import Resident, Stack
    from openautoglm.engine.backends.native.families.architecture import Architecture
    from openautoglm.engine.backends.native.model.program import Calls
    from openautoglm.engine.backends.native.weights.convert import Mode, Outline

    Array = np.ndarray[Any, np.dtype[Any]]
    Floats = np.ndarray[Any, np.dtype[np.float32]]
    Numbers = np.ndarray[Any, np.dtype[np.int64]]

TIMED_EVERY: Final = 16
"""Which plays are timed, so that `kernels` can tell shares: one of so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelShare:
    """Which kernel serves an operator in a layer.

    Attributes:
        layer: which one; -1 for embedding, last norm and head.
        operator: its name; `store` for the copy of keys and values into the cache.
        kernel: the kernel that the next call goes to.
        share: its part of the time of all steps, 0 to 1; 0 before any were timed.
    """

    layer: int
    operator: str
    kernel: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """Converted weights of a model, for another process to run.

    Attributes:
        folder: the model's folder, which must stay as it is.
        mode: how they were converted.
        descriptor: of their memory; whoever makes a `Model` of this owns it, and it is closed.
        outline: what is to be known of the folder's weights files; None to look at them.
    """

    folder: Path
    mode: Mode
    descriptor: int
    outline: Outline | None = None


@final
class Model:
    """A model folder, ready to decode.

    One call at a time; not safe from several threads.

    Args:
        source: a Hugging Face folder, or weights that another process lent.
        mode: "fp32" is exact, the same whatever else is in a call; "int8" and "int4" too are the
            same.
        slots: how many sequences have room for their keys and values.
        context: positions of each; 0 for all the model has.
        rows: most tokens of a call.
        threads: how many a call may use, the caller's among them.

    Attributes:
        architecture: what the folder holds.
        context: positions of a slot.

    Raises:
        ModelFolderError: the folder is not a whole model, or its parts disagree.
        UnknownArchitectureError: this backend has no operators for it.
        WeightsCorruptError: weights that are damaged or not finite.
        ModelTooLargeError: not enough memory.
        InvalidParameterError: a number out of range; a context longer than the model's.
        BackendUnavailableError: the compiled core is not there.
    """

    def __init__(
        self,
        source: Path | Lent,
        mode: Mode = "fp32",
        *,
        slots: int = 32,
        context: int = 0,
        rows: int = 512,
        threads: int = 1,
    ) -> None:
        _check_core()
        lent = source if isinstance(source, Lent) else None
        self._folder = source if isinstance(source, Path) else source.folder
        self.architecture = read_architecture(self._folder)
        self.mode: Mode = mode if lent is None else lent.mode
        self.context = context or self.architecture.context
        _check_mode(self.mode)
        _check_numbers(slots=slots, context=self.context, rows=rows, threads=threads)
        self._check_context()
        self.slots, self.rows, self.threads = slots, rows, threads
        outline = None if lent is None else lent.outline
        stored = outline or read_weights(self._folder)
        descriptor = -1 if lent is None else lent.descriptor
        self._packed = Packed(
            stored, self.architecture, self.mode, descriptor=descriptor, threads=threads
        )
        self._cache = Cache(self.architecture, slots, self.context, is_bf16=self.mode != "fp32")
        self._decoder: Decoder | None = Decoder(self._packed, self._cache, rows, self.context)
        self._building = threading.Lock()
        self._operators = OPERATORS.state
        self._plain = self._decoder.calls()
        self._stacks: Mapping[str, Sequence[Stack]] = {}
        self._adapted: Calls | None = None  # the same with adapters, while there are some
        self._bank = Bank(self._adapt)
        self.weights_bytes = self._packed.shared.nbytes
        self.cache_bytes = self._cache.nbytes
        self._plays = 0

    @property
    def vocabulary(self) -> int:
        """Width of the logits."""
        return self.architecture.vocabulary

    def forward(
        self,
        tokens: Numbers,
        slots: Numbers,
        positions: Numbers,
        last: Numbers,
        adapters: Numbers | None = None,
    ) -> Floats:
        """Read tokens and return the logits of some, (len(last), vocabulary).

        Keys and values of all rows are written first, so prompts, chunks of prompts and single
        tokens may be mixed. Rows of one slot whose positions rise by one are best kept together.

        Args:
            tokens: of each row.
            slots: of each row; outside the cache gives NaN.
            positions: of each row in its slot; all before it must have been read.
            last: which rows get logits.
            adapters: of each row, by number, 0 for none; None where no row has one. Somebody must
                hold what `load_adapter` gave.

        Returns:
            A view of a buffer that the next call overwrites.

        Raises:
            InvalidParameterError: too many rows, or lengths that differ.
            OperatorArgumentError: an operator was replaced by one that takes other arguments.
            EngineClosedError: after `close`.
        """
        decoder, count = self._open(), len(tokens)
        if not count == len(slots) == len(positions) or max(count, len(last)) > self.rows:
            raise InvalidParameterError(
                f"a call has a slot and a position for each token, and at most {self.rows} rows",
                got=f"{count} tokens, {len(slots)} slots, {len(positions)} positions, "
                f"{len(last)} rows of logits",
                fix="split the rows over several calls",
            )
        decoder.tokens[:count], decoder.slots[:count] = tokens, slots
        decoder.positions[:count], decoder.last[: len(last)] = positions, last
        decoder.slots_last[: len(last)] = decoder.slots[last]
        decoder.positions_last[: len(last)] = decoder.positions[last]
        self._renew()
        calls, adapted = self._plain, self._adapted
        if adapted is not None and adapters is None:
            self._bank.tidy()
        elif adapters is not None and adapted is not None:
            calls = adapted
            decoder.adapters[:count] = self._bank.indexes(adapters)
            decoder.adapters_last[: len(last)] = decoder.adapters[last]
        self._play(calls, (count, len(last)))
        logits: Floats = decoder.logits[: len(last), : self.architecture.vocabulary]
        return logits

    def copy_prefix(self, source_slot: int, target_slot: int, positions: int) -> None:
        """Give a slot the first keys and values of another, as if it had read the same tokens."""
        self._open()
        self._check_slots(source_slot, target_slot)
        if not 0 <= positions <= self.context:
            raise InvalidParameterError(
                f"a prefix has 0 to {self.context} positions", got=positions, fix="copy fewer"
            )
        self._cache.copy_prefix(source_slot, target_slot, positions)

    def release(self, slot: int) -> None:
        """Give the memory of a slot's keys and values back to the system."""
        self._open()
        self._check_slots(slot)
        self._cache.release(slot)

    def kernels(self) -> list[KernelShare]:
        """Return which kernel serves each operator of each layer, in order, with its time."""
        self._open()
        self._renew()
        spent: dict[tuple[int, str], int] = {}
        served: dict[tuple[int, str], str] = {}
        for calls in filter(None, (self._adapted, self._plain)):
            times = calls.program.times()
            for i, step in enumerate(calls.steps):
                place = (step.layer, step.operator)
                spent[place] = spent.get(place, 0) + times[i][1] + calls.in_python[i]
                if place not in served:
                    called = step.called
                    served[place] = "core" if called is None else kernel_of(called, step.operands)
        whole = sum(spent.values()) or 1
        return [
            KernelShare(layer=layer, operator=name, kernel=kernel, share=spent[layer, name] / whole)
            for (layer, name), kernel in served.items()
        ]

    def load_adapter(self, number: int, folder: Path) -> Resident:
        """Have an adapter's weights beside the model's; from any thread, also while it computes.

        Args:
            number: above 0, its own among all adapters that are ever loaded; one that is there
                already is not read again.
            folder: as PEFT wrote it.

        Returns:
            What keeps it there: it is gone once nobody holds this any more.

        Raises:
            AdapterError: it cannot be read, or is not for this model.
            WeightsCorruptError: its file is damaged, or holds values that are not finite.
            ModelTooLargeError: not enough memory.
        """
        self._open()
        found = self._bank.find(number)
        if found is not None:
            return found
        pairs = read_adapter(folder, self._packed.architecture, read_config(self._folder))
        return self._bank.load(number, pairs)

    def tidy_adapters(self) -> None:
        """Give back the memory of adapters that nobody holds."""
        self._open()
        self._bank.tidy()

    @property
    def outline(self) -> Outline | None:
        """What a process that is lent the weights must know of their files, to read none."""
        return self._packed.outline

    def lend(self) -> Lent:
        """Return the weights for a process that this one starts; it owns the descriptor.

        Raises:
            BackendUnavailableError: this system has no memory to share.
        """
        self._open()
        try:
            handle = self._packed.shared.lend()
        except SharedTensorError as cause:
            raise BackendUnavailableError(
                "these weights lie in memory that cannot be lent",
                got=str(cause),
                fix="lend them from the process that loaded them, on Linux 5.1 or later",
            ) from cause
        return Lent(folder=self._folder, mode=self.mode, descriptor=handle, outline=self.outline)

    def close(self) -> None:
        """Give all memory back; harmless when closed already."""
        self._decoder = None
        for name in ("_packed", "_cache", "_plain", "_adapted", "_bank"):
            self.__dict__.pop(name, None)

    def _adapt(self, stacks: Mapping[str, Sequence[Stack]]) -> None:
        decoder = self._open()
        with self._building:
            self._stacks = stacks
            self._adapted = decoder.calls(stacks) if stacks else None

    def _renew(self) -> None:
        """Call the operators that are registered now, where one was replaced."""
        if self._operators is OPERATORS.state:
            return
        decoder = self._open()
        with self._building:
            operators = OPERATORS.state
            if not self._plain.is_current:
                self._plain = decoder.calls()
            if self._adapted is not None and not self._adapted.is_current:
                self._adapted = decoder.calls(self._stacks)
            self._operators = operators

    def _play(self, calls: Calls, numbers: tuple[int, int]) -> None:
        is_timed = self._plays % TIMED_EVERY == 1  # the first one is no example
        self._plays += 1
        play, count = calls.program.play, len(calls.steps)
        at = play(numbers, threads=self.threads, timed=is_timed)
        while at < count:  # a kernel in Python serves this call
            began = time.perf_counter_ns()
            step = calls.steps[at]
            assert step.called is not None  # noqa: S101 - the core copies rows itself
            make(step.called, step.operands, numbers)
            if is_timed:
                calls.in_python[at] += time.perf_counter_ns() - began
            at = play(numbers, at=at + 1, threads=self.threads, timed=is_timed)

    def _open(self) -> Decoder:
        if self._decoder is None:
            raise EngineClosedError("the model was closed", fix="load it again")
        return self._decoder

    def _check_slots(self, *slots: int) -> None:
        for slot in slots:
            if not 0 <= slot < self.slots:
                raise InvalidParameterError(
                    "no such slot", got=slot, fix=f"use 0 to {self.slots - 1}"
                )

    def _check_context(self) -> None:
        if self.context > self.architecture.context:
            raise InvalidParameterError(
                "the context is longer than the model's",
                got=f"{self.context} positions, the model has {self.architecture.context}",
                fix=f"use a context of at most {self.architecture.context}",
            )


def read_architecture(folder: Path) -> Architecture:
    """Read what a folder's config describes, without looking at its weights; errors as `Model`."""
    values = read_config(folder)
    kind = str(values["model_type"])
    if not FAMILIES.has(kind):
        raise UnknownArchitectureError(
            f"the native backend does not know the model family `{kind}`",
            got=f"known: {', '.join(FAMILIES.names())}",
            fix='use backend="transformers"',
        )
    return FAMILIES.get(kind)(Config(values))


def _check_core() -> None:
    reason = unavailable()
    if reason is not None:
        raise BackendUnavailableError(
            "the native backend needs the compiled core",
            got=reason,
            fix='install where a C++ compiler is, or use backend="transformers"',
        )


def _check_mode(mode: str) -> None:
    if mode not in GROUPS:
        raise InvalidParameterError(
            "`mode` says how weights are kept", got=repr(mode), fix=f"use {', '.join(GROUPS)}"
        )


def _check_numbers(**numbers: int) -> None:
    for name, value in numbers.items():
        given: object = value
        if type(given) is not int or given < 1:
            raise InvalidParameterError(
                f"`{name}` must be a whole number above 0", got=repr(given), fix="use 1 or more"
            )

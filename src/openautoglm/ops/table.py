"""All kernels of one operator, and the native table that calls without Python go through.

Owns which kernels there are, the counts of calls, and when a call has to go through Python. Knows
nothing of torch; arrays come to it as facts.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import NameTakenError, OperatorDefinitionError
from openautoglm.native.cells import MAX_KERNELS, WANTS_CONTIGUOUS, Cell, Entry, key_of, unavailable
from openautoglm.ops.choose import CallFacts, Choice, choose
from openautoglm.ops.dtypes import DTYPES, listed
from openautoglm.ops.fields import are_texts, shown
from openautoglm.ops.kernel import DEVICES, Kernel, check_kernel
from openautoglm.ops.machine import machine
from openautoglm.ops.signature import signature_text
from openautoglm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.ops.arguments import ArraySpec
    from openautoglm.ops.machine import Machine
    from openautoglm.ops.opdef import OpDef

_DEVICE_CODES: Final = {"cpu": 1, "cuda": 2}
_MAX_KEYS: Final = 512


@final
class _Block:
    """What one `prefer` block prefers; a copied context still has it when it is closed."""

    __slots__ = ("is_open", "names", "table")

    def __init__(self, table: int, names: tuple[str, ...]) -> None:
        self.table = table  # its id: while the block is open its frame holds the table
        self.names = names
        self.is_open = True


_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("openautoglm_prefer_blocks", default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was decided for a call, for the next one that looks the same."""

    kernel: Kernel
    outputs: tuple[ArraySpec, ...]


@final
class KernelTable:
    """The kernels of one operator version.

    Safe from several threads: a change builds the next table and puts it in place by one store;
    calls in flight finish on what they started with.
    """

    def __init__(self, opdef: OpDef, facts: Machine | None = None) -> None:
        self.opdef = opdef
        self.cell = Cell(signature_text(opdef)) if unavailable() is None else None
        self._machine = facts
        self._kernels: tuple[Kernel, ...] = ()
        self._has_predicates = False
        self._standing = Settings.from_env(os.environ).kernels.get(opdef.name, ())
        self._counters: dict[str, int] = {}
        self._counted_before: Counter[str] = Counter()  # by counters that serve other names since
        self._python_counts: Counter[str] = Counter()
        self._lock = threading.RLock()
        self.unloaded: frozenset[str] = frozenset()  # libraries that took their kernels away
        self.generation = 0
        self.plans: dict[object, Plan] = {}

    @property
    def is_steady(self) -> bool:
        """Whether equal descriptions of arguments always get the same kernel."""
        return not self._has_predicates and not self._preferred()

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All kernels, the reference among them, in the order in which they came."""
        return self._kernels

    def add(self, *kernels: Kernel) -> None:
        """Add kernels; the next call may use them.

        Raises:
            NameTakenError: a kernel of this name is there.
            OperatorDefinitionError: a kernel cannot serve this operator.
        """
        self.replace(None, kernels)

    def replace(self, library: str | None, kernels: Iterable[Kernel]) -> int:
        """Put `kernels` in the place of all those of `library`, by one store.

        Returns:
            The generation of the table.
        """
        with self._lock:
            new = tuple(kernels)
            for kernel in new:
                check_kernel(kernel, self.opdef)
            self.check_names(library, new)
            if library is not None and new:
                self.unloaded -= {library}
            elif library is not None and any(k.library == library for k in self._kernels):
                self.unloaded |= {library}
            return self._publish((*self._without(library), *new))

    def check_names(self, library: str | None, kernels: Iterable[Kernel]) -> None:
        """Refuse names that `replace` could not take.

        Raises:
            NameTakenError: a kernel of this name is there, and is not of `library`.
        """
        names = {kernel.name for kernel in self._without(library)}
        for kernel in kernels:
            if kernel.name in names:
                raise NameTakenError(
                    f"operator `{self.opdef.name}` has a kernel `{kernel.name}`",
                    got=f"kernels: {listed(sorted(names))}",
                    fix="choose another name, or remove the other kernel first",
                )
            names.add(kernel.name)

    def _without(self, library: str | None) -> tuple[Kernel, ...]:
        return tuple(k for k in self._kernels if library is None or k.library != library)

    def remove(self, *names: str) -> None:
        """Remove kernels by name; a call in flight finishes on them."""
        with self._lock:
            self._publish(tuple(k for k in self._kernels if k.name not in names))

    def stand(self, *names: str) -> None:
        """Prefer kernels in every call from now on, by kernel or library; none for no preference.

        A `prefer` block goes before it.
        """
        self._check_preferred(names)
        with self._lock:
            self._standing = names
            self._publish(self._kernels)

    @contextmanager
    def prefer(self, *names: str) -> Iterator[None]:
        """Prefer kernels inside the block: in this thread or task and in tasks started inside.

        The preference ends with the block, in tasks that go on and in contexts copied out of it
        too. Blocks inside blocks: the innermost that is open counts.
        """
        self._check_preferred(names)
        known = {name for k in self._kernels for name in (k.name, k.library)}
        for name in names:
            if name not in known:
                raise OperatorDefinitionError(
                    f"operator `{self.opdef.name}` has no kernel or library `{name}`",
                    got=f"kernels: {listed([k.name for k in self._kernels])}",
                    fix="name one of these",
                )
        block = _Block(id(self), names)
        token = _blocks.set((*(b for b in _blocks.get() if b.is_open), block))
        try:
            with self.through_python():
                yield
        finally:
            block.is_open = False
            with suppress(ValueError):  # it ends in another context than it began in
                _blocks.reset(token)

    def _preferred(self) -> tuple[str, ...]:
        for block in reversed(_blocks.get()):
            if block.is_open and block.table == id(self):
                return block.names
        return ()

    def _check_preferred(self, names: tuple[object, ...]) -> None:
        if not are_texts(names):
            raise OperatorDefinitionError(
                f"operator `{self.opdef.name}`: kernels and libraries are preferred by name",
                got=shown(names),
                fix='pass names, as in prefer("fast", "reference")',
            )

    @contextmanager
    def through_python(self) -> Iterator[None]:
        """Send every call of this operator through Python inside the block, in all threads."""
        if self.cell is not None:
            self.cell.slow(1)
        try:
            yield
        finally:
            if self.cell is not None:
                self.cell.slow(-1)

    def choose(self, facts: CallFacts) -> Choice:
        """Choose the kernel of a call, by preferences and priorities as they are now."""
        prefer = (*self._preferred(), *self._standing)
        return choose(self._kernels, facts, self._machine or machine(), prefer)

    def count(self, kernel: Kernel) -> None:
        """Note a call that went through Python."""
        self._python_counts[kernel.name] += 1  # a lost increment between threads is accepted

    def counts(self) -> dict[str, int]:
        """Return how many calls each kernel has served, most first."""
        total = Counter(self._python_counts)
        total.update(self._counted_before)
        if self.cell is not None:
            native = self.cell.counts()
            total.update({name: native[i] for name, i in dict(self._counters).items()})
        return dict((+total).most_common())

    def counted_by(self, counter: int) -> str:
        """Return the name of the kernel whose calls a counter of the native cell has."""
        return next((n for n, number in self._counters.items() if number == counter), "unknown")

    def _publish(self, kernels: tuple[Kernel, ...]) -> int:
        self._kernels = kernels
        self._has_predicates = any(kernel.when is not None for kernel in kernels)
        self.plans = {}
        self.generation += 1
        if self.cell is not None:
            self.cell.publish(self._entries())
        return self.generation

    def _entries(self) -> list[Entry]:
        entries = []
        for device, dtypes in itertools.islice(self._keys(), _MAX_KEYS):
            winner = self._native_winner(device, dtypes)
            counter = None if winner is None else self._counter(winner)
            if winner is None or counter is None:
                continue
            pairs = [None if d is None else (DTYPES[d].code, DTYPES[d].bits) for d in dtypes]
            entries.append(
                Entry(
                    key=key_of(_DEVICE_CODES[device], pairs),
                    function=winner.function,
                    flags=WANTS_CONTIGUOUS if self._wants_contiguous(winner) else 0,
                    counter=counter,
                )
            )
        return entries

    def _native_winner(self, device: str, dtypes: tuple[str | None, ...]) -> Kernel | None:
        """Return the kernel that serves every such call, if it is native: on all GPUs the same."""
        facts = self._machine or machine()
        indices = range(max(1, len(facts.cuda) if device == "cuda" else 1))
        names = self.opdef.input_names
        choices = [
            choose(
                self._kernels,
                CallFacts(device=device, index=i, inputs=names, dtypes=dtypes),
                facts,
                self._standing,
            )
            for i in indices
        ]
        winner = choices[0].winner
        if winner is None or not winner.is_native:
            return None
        is_sure = all(c.winner is winner and not c.depends_on_arguments for c in choices)
        return winner if is_sure else None

    def _wants_contiguous(self, kernel: Kernel) -> bool:
        return kernel.contiguous or any(p.layout == "contiguous" for p in self.opdef.inputs)

    def _counter(self, kernel: Kernel) -> int | None:
        if kernel.name not in self._counters:
            number = self._free_counter()
            if number is None:
                return None
            if self.cell is not None:  # it goes on from what it counted for another name
                self._counted_before[kernel.name] -= self.cell.counts()[number]
            self._counters[kernel.name] = number
        return self._counters[kernel.name]

    def _free_counter(self) -> int | None:
        """Return a counter that no kernel here has, None where all are taken."""
        if len(self._counters) < MAX_KERNELS:
            return len(self._counters)
        present = {kernel.name for kernel in self._kernels}
        name = next((name for name in self._counters if name not in present), None)
        if name is None:
            return None
        number = self._counters.pop(name)
        if self.cell is not None:
            self._counted_before[name] += self.cell.counts()[number]
        return number

    def _keys(self) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        """Yield every device and combination of dtypes that a native kernel may serve."""
        inputs = self.opdef.inputs
        if any(part.many for part in inputs) or not any(k.is_native for k in self._kernels):
            return
        free = [part for part in inputs if part.like is None]
        for device in DEVICES:
            if not any(k.is_native and k.device in (None, device) for k in self._kernels):
                continue
            for chosen in itertools.product(*(part.dtypes for part in free)):
                by_name = dict(zip((part.name for part in free), chosen, strict=True))
                for part in inputs:
                    by_name.setdefault(part.name, by_name[part.like or part.name])
                full = [by_name[name] for name in self.opdef.input_names]
                yield from ((device, dtypes) for dtypes in self._with_absences(full))

    def _with_absences(self, dtypes: list[str]) -> Iterator[tuple[str | None, ...]]:
        """Yield what may be given, the fewest first: an operator may have more than are kept."""
        optional = [i for i, part in enumerate(self.opdef.inputs) if part.optional]
        for size in range(len(optional) + 1):
            for given in itertools.combinations(optional, size):
                absent = set(optional).difference(given)
                yield tuple(None if i in absent else dtype for i, dtype in enumerate(dtypes))

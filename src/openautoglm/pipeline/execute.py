"""Records through the stages of a plan: in order, in windows, each failing on its own.

Owns `Execution`. Memory is bounded: at most one window of records, and one window of items of a
long record, is inside a stage. Knows nothing of YAML and nothing of what steps do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, cast, final

from openautoglm.errors import StepError
from openautoglm.pipeline.spec import INPUTS, Socket
from openautoglm.pipeline.state import Item, State, open_state
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from openautoglm.pipeline.context import RunContext
    from openautoglm.pipeline.result import PipelineResult
    from openautoglm.pipeline.spec import PipelineSpec
    from openautoglm.pipeline.stages import Feed, Plan, Stage
    from openautoglm.pipeline.step import BatchStep
    from openautoglm.pipeline.wiring import Node

MAX_WAITING_CHARS: Final = 4_000_000  # a window closes early once its records are this long
_SHORTER: Final = object()


@final
class Execution:
    """One pass of records through a pipeline.

    Args:
        spec: the pipeline.
        plan: its stages.
        context: what steps may use; the name of each record is put in.
        window: how many calls of a batching step are gathered before they are made together.
    """

    def __init__(self, spec: PipelineSpec, plan: Plan, context: RunContext, window: int) -> None:
        self._spec = spec
        self._plan = plan
        self._context = context
        self._window = window

    def results(self, records: Iterable[object]) -> Iterator[PipelineResult]:
        """Yield a result for each record, in order; that of one that failed carries its error."""
        states: Iterator[State] = (
            open_state(self._spec, index, record, self._context)
            for index, record in enumerate(records)
        )
        for stage in self._plan.stages:
            run = self._windowed if stage.windowed else self._plain
            states = run(stage, states)
        for state in states:
            yield state.result(self._spec, self._plan.offsets_text)

    def _plain(self, stage: Stage, states: Iterator[State]) -> Iterator[State]:
        (node,) = stage.nodes
        for state in states:
            if state.error is None:
                item = Item(state=state, values=state.values)
                self._run_each(node, [item])
                state.release(stage.release)
            yield state

    def _windowed(self, stage: Stage, states: Iterator[State]) -> Iterator[State]:
        """Gather items until the window is full, run the nodes on them, give out whole records."""
        items: list[Item] = []
        whole: list[State] = []  # all their items are in `items` or done
        chars = 0
        for state in states:
            for item in _items(stage, state):
                if len(items) >= self._window:
                    yield from self._finish(stage, items, whole)
                    items, whole, chars = [], [], 0
                items.append(item)
            whole.append(state)
            chars += state.chars
            if not items or len(items) >= self._window or chars > MAX_WAITING_CHARS:
                yield from self._finish(stage, items, whole)
                items, whole, chars = [], [], 0
        yield from self._finish(stage, items, whole)

    def _finish(
        self, stage: Stage, items: Sequence[Item], whole: Iterable[State]
    ) -> Iterator[State]:
        """Work through a window and give out the records that are done with the stage."""
        for node in stage.nodes:
            run = self._run_together if node.batched else self._run_each
            run(node, items)
        if stage.mapped:
            for item in items:
                _keep_leaving(stage, item)
        for state in whole:
            state.release(stage.release)
            yield state

    def _run_each(self, node: Node, items: Iterable[Item]) -> None:
        for item in items:
            inputs = _gather(node, item)
            if inputs is None:
                continue
            if node.wants_context:
                inputs["context"] = item.state.context
            started_s = time.perf_counter()
            try:
                self._fill(node, item, node.step.run(**inputs))
            except Exception as cause:  # noqa: BLE001 - a step may raise anything; its record ends
                item.state.fail(node.name, cause)
            item.state.spend(node.name, time.perf_counter() - started_s)

    def _run_together(self, node: Node, items: Iterable[Item]) -> None:
        calls = [(item, inputs) for item in items if (inputs := _gather(node, item)) is not None]
        if not calls:
            return
        started_s = time.perf_counter()
        answers = self._answers(node, [inputs for _, inputs in calls])
        share_s = (time.perf_counter() - started_s) / len(calls)
        for (item, _), answer in zip(calls, answers, strict=True):
            item.state.spend(node.name, share_s)
            try:
                if isinstance(answer, Exception):
                    raise answer  # noqa: TRY301 - it takes the same way as one of `_fill`
                self._fill(node, item, answer)
            except Exception as cause:  # noqa: BLE001 - a step may return any exception
                item.state.fail(node.name, cause)

    def _answers(
        self, node: Node, calls: Sequence[Mapping[str, object]]
    ) -> Sequence[Mapping[str, object] | Exception]:
        """Call a batching step; what it raises fails all the calls, what it returns only one."""
        try:
            answers = cast("BatchStep", node.step).run_batch(calls, context=self._context)
            if len(answers) != len(calls):
                raise StepError(  # noqa: TRY301 - it takes the same way as what the step raises
                    "`run_batch` must return one answer for each call",
                    got=f"{len(answers)} answers to {len(calls)} calls",
                )
        except Exception as cause:  # noqa: BLE001 - a step may raise anything; its records end
            return [cause] * len(calls)
        return answers

    def _fill(self, node: Node, item: Item, answer: object) -> None:
        """Take what a step returned."""
        if not isinstance(answer, Mapping):
            raise StepError("a step must return a mapping of outputs", got=type(answer).__name__)
        known = tuple(node.step.outputs)
        for name, value in answer.items():
            if name not in known:
                raise StepError(
                    f"the step filled `{name}`, which it does not declare",
                    got=f"outputs: {', '.join(known)}",
                    fix=suggest(str(name), known) or "declare it in `outputs`",
                )
            socket = Socket(node.name, name)
            once = isinstance(value, Iterator) and socket not in self._plan.streamed
            item.values[socket] = list(cast("Iterator[object]", value)) if once else value


def _gather(node: Node, item: Item) -> dict[str, object] | None:
    """Collect what arrived at the inputs of a node; None when it does not run for this item."""
    if item.state.error is not None:
        return None
    inputs: dict[str, object] = {}
    for name, senders in node.senders.items():
        values = item.values if name in node.each else item.state.values
        arrived = [sender for sender in senders if sender in values]
        if len(arrived) > 1:
            both = " and ".join(map(str, arrived))
            item.state.fail(
                node.name,
                StepError(
                    f"two values arrived at `{name}`",
                    got=both,
                    fix="an exclusive step must fill exactly one of its outputs",
                ),
            )
            return None
        if arrived:
            inputs[name] = values[arrived[0]]
            if name in node.texts and not isinstance(inputs[name], str):
                item.state.fail(node.name, _no_text(name, inputs[name], arrived[0]))
                return None
    return inputs if node.required <= inputs.keys() else None


def _no_text(name: str, value: object, sender: Socket) -> StepError:
    is_list = isinstance(value, (list, tuple))
    return StepError(
        f"`{name}` must be a text",
        got=f"{type(value).__name__} from `{sender}`",
        fix=f"name `{name}` in `each`" if is_list else "pass a str; decode bytes as UTF-8",
    )


def _items(stage: Stage, state: State) -> Iterator[Item]:
    """Yield what the stage has to do for a record."""
    if state.error is not None:
        return
    if not stage.mapped:
        yield Item(state=state, values=state.values)
        return
    arrived = [sender for feed in stage.feeds if (sender := _arrived(feed, state)) is not None]
    if not arrived:
        return
    count = 0
    for values in _rows(stage, state, arrived):
        count += 1
        yield Item(state=state, values=values)
    if count == 0 and state.error is None:
        state.values.update({socket: [] for socket in stage.leaving})


def _arrived(feed: Feed, state: State) -> Socket | None:
    return next((sender for sender in feed if sender in state.values), None)


def _rows(stage: Stage, state: State, senders: Sequence[Socket]) -> Iterator[dict[Socket, object]]:
    """Yield the values of each item; a list that is none, ends early or raises fails the record."""
    first = stage.nodes[0].name
    lists = [state.values[sender] for sender in senders]
    for sender, value in zip(senders, lists, strict=True):
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
            state.fail(
                first,
                StepError(
                    f"`each` needs a list and `{sender}` is none",
                    got=type(value).__name__,
                    fix="remove `each`, or connect a list",
                ),
            )
            return
    rows = zip_longest(*cast("list[Iterable[object]]", lists), fillvalue=_SHORTER)
    while (row := _timed_next(rows, state, senders[0].component)) is not None:
        if state.error is not None:
            return
        if any(value is _SHORTER for value in row):
            state.fail(
                first,
                StepError(
                    "the lists that `each` names are not equally long",
                    got=", ".join(map(str, senders)),
                    fix="connect lists that belong together",
                ),
            )
            return
        yield dict(zip(senders, row, strict=True))


def _timed_next(
    rows: Iterator[tuple[object, ...]], state: State, sender: str
) -> tuple[object, ...] | None:
    """Take the next row; the time it takes, and what it raises, are its sender's."""
    started_s = time.perf_counter()
    try:
        return next(rows, None)
    except Exception as cause:  # noqa: BLE001 - the iterator is a step's; its record ends
        state.fail(sender, cause)
        return None
    finally:
        if sender != INPUTS:
            state.spend(sender, time.perf_counter() - started_s)


def _keep_leaving(stage: Stage, item: Item) -> None:
    for socket in stage.leaving:
        if socket in item.values:
            kept = cast("list[object]", item.state.values.setdefault(socket, []))
            kept.append(item.values[socket])

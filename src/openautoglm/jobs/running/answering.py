"""A row in, what became of it out: the row for the sink, the reason why not, or another try.

Owns `Answering`. Called from many threads at a time. Knows nothing of feeds, ledgers and sinks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, final

import msgspec

from openautoglm.errors import BadRowError, OpenAutoGLMError, StepError, WorkerDiedError
from openautoglm.errors.passing import asked_wait_s, may_pass
from openautoglm.jobs.ledger.records import RowOutcome
from openautoglm.jobs.running.json_values import check_json
from openautoglm.jobs.running.told import fault_of
from openautoglm.jobs.running.tries import Parked, Trouble
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from openautoglm.data.source import Row
    from openautoglm.jobs.running.cache import AnswerCache
    from openautoglm.jobs.running.open_shard import Task
    from openautoglm.jobs.spec import JobSpec
    from openautoglm.jobs.work import Answer, Work

KEY: Final = "key"
"""Names the row in the sink where no column does."""

_encode: Final = msgspec.json.Encoder().encode


@final
class Answering:
    """Work on rows as a job says.

    Args:
        spec: of the job.
        work: what is done with a row.
        cache: answers to rows with the same values; None to answer each.
    """

    def __init__(self, spec: JobSpec, work: Work, cache: AnswerCache | None = None) -> None:
        self._work, self._cache = work, cache
        self._columns = dict(spec.columns)
        self._inputs = work.inputs()
        self._id = spec.id_column
        self._keep = tuple(name for name in spec.keep if name != spec.id_column)
        self._max_bytes = spec.max_row_bytes

    def answer(self, task: Task) -> RowOutcome | Trouble | Parked:
        """Work on a row once."""
        task.tries += 1
        try:
            values = self._values(task)
            named = self._named(task)
            answer = self._cached(values, waits=task.lot == "usual")
            if isinstance(answer, Parked):
                return answer
            payload = self._payload(task, named, answer.outputs)
        except BaseException as error:  # noqa: BLE001 - work may raise anything, also SystemExit
            if may_pass(error):
                return Trouble(error, asked_wait_s(error))
            return self.failed(task, error)
        return RowOutcome(
            ordinal=task.ordinal,
            key=str(named),
            outcome="ok",
            payload=payload,
            tries=task.tries,
            tokens=answer.tokens,
        )

    def failed(self, task: Task, error: BaseException) -> RowOutcome:
        """Return the outcome of a row that is given up."""
        return RowOutcome(
            ordinal=task.ordinal,
            key=self._name_for_people(task),
            outcome="failed",
            payload=_encode(fault_of(error)),
            tries=task.tries,
            values=self._kept_values(task),
        )

    def _values(self, task: Task) -> Row:
        """Return what the work gets.

        Raises:
            BadRowError: the row cannot be read, is too long, or lacks a value.
            WorkerDiedError: too many workers died of it.
        """
        record = task.record
        if task.lot == "out":
            raise _died(task)
        if record.error is not None:
            raise record.error
        values = record.values
        self._check_length(record.key, values)
        if self._columns:
            given = values
            values = {**given, **{n: given[c] for n, c in self._columns.items() if c in given}}
        for name in self._inputs:
            if name not in values:
                raise _missing(record.key, self._columns.get(name, name), record.values)
        return values

    def _check_length(self, key: str, values: Row) -> None:
        try:
            size = len(_encode(values))
        except (TypeError, ValueError, OverflowError, RecursionError) as cause:
            raise BadRowError(
                f"{key}: the row is not what JSON holds: {cause}",
                fix="read it with a source that gives texts, numbers, lists and objects",
            ) from cause
        if size > self._max_bytes:
            raise BadRowError(
                f"{key}: the row is too long",
                got=f"{size} bytes as JSON, at most {self._max_bytes} are allowed",
                fix="split the row, or raise max_row_bytes",
            )

    def _named(self, task: Task) -> object:
        """Return what names a row: its id, or the source's own key."""
        if self._id is None:
            return task.record.key
        values = task.record.values
        if values.get(self._id) is None:
            raise _missing(task.record.key, self._id, values)
        return values[self._id]

    def _name_for_people(self, task: Task) -> str:
        try:
            return str(self._named(task))
        except OpenAutoGLMError:
            return task.record.key

    def _cached(self, values: Row, *, waits: bool) -> Answer | Parked:
        cache = self._cache
        if cache is None:
            return self._work.answer(values)
        key = cache.key(values)
        found = cache.take(key, waits=waits)
        if found is not None:
            return found
        answer: Answer | None = None
        try:
            answer = self._work.answer(values)
            check_json(answer.outputs, "outputs")
        except BaseException:
            cache.give_up(key)
            raise
        cache.put(key, answer)
        return answer

    def _payload(self, task: Task, named: object, outputs: Mapping[str, object]) -> bytes:
        """Return the row for the sink, as JSON.

        Raises:
            StepError: it cannot be made of these outputs.
        """
        if not isinstance(outputs, Mapping):
            raise StepError(
                "the outputs of a row are no mapping of names to values", got=repr(outputs)[:200]
            )
        check_json(outputs, "outputs")
        values = task.record.values
        row = {self._id or KEY: named, **{name: values.get(name) for name in self._keep}}
        own = len(row)
        row.update(outputs)
        if len(row) != own + len(outputs):
            raise self._taken(outputs)
        try:
            return _encode(row)
        except (TypeError, ValueError, OverflowError, RecursionError) as cause:
            raise StepError(
                f"the outputs of a row cannot be written as JSON: {cause}",
                got=repr(outputs)[:200],
                fix="return texts that UTF-8 can write, and lists that are not so deep",
            ) from cause

    def _taken(self, outputs: Mapping[str, object]) -> StepError:
        twice = [name for name in (self._id or KEY, *self._keep) if name in outputs]
        return StepError(
            "an output has the name of a column that goes to the sink",
            got=", ".join(twice),
            fix="rename the output, or leave the column out of `keep`",
        )

    def _kept_values(self, task: Task) -> bytes:
        """Return the row as it was read, where it is small enough to keep."""
        if task.record.error is not None:
            return b""
        try:
            kept = _encode(task.record.values)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return b""
        return kept if len(kept) <= self._max_bytes else b""


def _missing(key: str, column: str, values: Row) -> BadRowError:
    found = "it is null" if column in values else f"columns: {', '.join(values) or 'none'}"
    return BadRowError(
        f"{key}: the row has no `{column}`",
        got=found[:500],
        fix=suggest(column, tuple(values)) or "name the column in `columns`, or fill it",
    )


def _died(task: Task) -> WorkerDiedError:
    deaths = task.shard.claim.suspects.get(task.ordinal, 0)
    return WorkerDiedError(
        "worker processes died whenever they worked on this row",
        got=f"{task.record.key}: {deaths} with this row alone, others with it among many",
        fix="look at the row, and at what crashes; `retry-failed` runs it again",
    )

"""Whether the values of a job are of their types, what JSON holds, and within their limits.

Owns `plain_values` and `number_complaints`. Knows nothing of what the fields mean together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from openautoglm.errors import StepError
from openautoglm.jobs.complaint import Complaint
from openautoglm.jobs.running.json_values import check_json
from openautoglm.jobs.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS: Final[dict[str, tuple[int, int]]] = {
    "shard_rows": (1, 10_000_000),
    "workers": (1, 4096),
    "concurrency": (1, 65_536),
    "tries": (1, 1000),
    "max_row_bytes": (1, 1 << 30),
    "backoff_s": (0, 3600),
}
"""The least and the most of each."""
MOST: Final = (1 << 63) - 1
"""Of a budget: what ledgers count with."""
NOT_EMPTY: Final = ("source", "sink", "model", "backend", "prompt", "pipeline", "id_column")
WITHOUT_NUL: Final = ("name", "source", "sink", "model", "backend", "id_column")
AS_THEY_ARE: Final = (bytes, bytearray, memoryview)
"""What would become a text without a word."""


def plain_values(spec: JobSpec) -> tuple[JobSpec, list[Complaint]]:
    """Return a job whose values are those that its JSON holds, and what is wrong with them.

    A mapping becomes the struct it stands for, such as `{"rows": 10}` a `Budget`.
    """
    fields: dict[str, Any] = {}
    complaints: list[Complaint] = []
    for field in msgspec.structs.fields(JobSpec):
        value = getattr(spec, field.name)
        try:
            plain = msgspec.to_builtins(value, builtin_types=AS_THEY_ARE)
            fields[field.name] = msgspec.convert(plain, field.type)
            check_json(plain, field.name)
            msgspec.json.encode(plain)
        except (msgspec.ValidationError, StepError) as cause:
            complaints.append(_of_type(field.name, value, cause))
        except (TypeError, ValueError, OverflowError, RecursionError) as cause:
            complaints.append(_of_json(field.name, value, cause))
    if complaints:
        return spec, complaints
    made = JobSpec(**fields)
    return made, list(_texts(made))


def number_complaints(spec: JobSpec) -> Iterator[Complaint]:
    """Yield the numbers that are too small or too large."""
    for name, (least, most) in LIMITS.items():
        value = getattr(spec, name)
        if not least <= value <= most:
            problem = f"must be from {least} to {most}"
            yield Complaint(field=name, problem=problem, got=value, fix=_default(name))
    limits = {
        "budget.rows": spec.budget.rows,
        "budget.tokens": spec.budget.tokens,
        "budget.seconds": spec.budget.seconds,
        "rate.rows_per_s": spec.rate.rows_per_s,
        "rate.tokens_per_s": spec.rate.tokens_per_s,
    }
    for name, limit in limits.items():
        if limit is not None and not 0 < limit <= MOST:
            problem = "must be above 0" if limit <= 0 else f"must be at most {MOST}"
            yield Complaint(field=name, problem=problem, got=limit, fix="leave it out for no limit")
    part = spec.budget.error_rate
    if part is not None and not 0 <= part <= 1:
        problem, fix = "must be between 0 and 1", "error_rate=0.5"
        yield Complaint(field="budget.error_rate", problem=problem, got=part, fix=fix)


def _default(name: str) -> str:
    return f"{name}={getattr(JobSpec(source='', sink=''), name):g}"


def _texts(spec: JobSpec) -> Iterator[Complaint]:
    for name in NOT_EMPTY:
        text = getattr(spec, name)
        if text is not None and not text.strip():
            fix = "name one" if name in {"source", "sink"} else "name one, or leave it out"
            yield Complaint(field=name, problem="it is empty", got=repr(text), fix=fix)
    for name in WITHOUT_NUL:
        text = getattr(spec, name)
        if text is not None and "\0" in text:
            problem = "it holds a NUL character"
            yield Complaint(field=name, problem=problem, got=repr(text)[:200], fix="remove it")


def _of_type(name: str, value: object, cause: Exception) -> Complaint:
    ours = isinstance(cause, StepError)
    return Complaint(
        field=name,
        problem=cause.problem if isinstance(cause, StepError) else str(cause),
        got=cause.got if isinstance(cause, StepError) else _shown(value),
        fix="give texts, finite numbers, lists and mappings"
        if ours
        else "give a value of that type",
    )


def _of_json(name: str, value: object, cause: Exception) -> Complaint:
    problem, fix = "it is nothing that JSON holds", "for example str(…)"
    if isinstance(cause, UnicodeEncodeError):
        problem, fix = "a text in it holds half of a character", "remove it: UTF-8 has no such text"
    elif isinstance(cause, OverflowError):
        problem, fix = "a number in it is too large", "write it as a text"
    elif isinstance(cause, RecursionError):
        problem, fix = "it is too deep, or holds itself", "nest less"
    return Complaint(field=name, problem=problem, got=_shown(value), fix=fix)


def _shown(value: object) -> str:
    try:
        return f"{value!r} ({type(value).__name__})"[:200]
    except Exception:  # noqa: BLE001 - somebody else's `__repr__`, or one that holds itself
        return type(value).__name__

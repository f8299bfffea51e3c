"""Whether the columns that a job names are those its source has. Opens nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openautoglm.jobs.complaint import Complaint
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.data.source import Description
    from openautoglm.jobs.spec import JobSpec
    from openautoglm.jobs.works.intent import Intent


def column_complaints(
    spec: JobSpec, intent: Intent | None, description: Description
) -> Iterator[Complaint]:
    """Yield what is wrong with columns, inputs and outputs.

    A source of which no column is known yet, such as an empty file, is taken as it is; of a work
    that cannot be read, None, nothing is asked.
    """
    if intent is not None:
        yield from _inputs(spec, intent)
        yield from _twice(spec, intent)
    known = tuple(column.name for column in description.columns)
    if known:
        wanted = () if intent is None else intent.inputs()
        yield from _columns(spec, wanted, known)


def _inputs(spec: JobSpec, intent: Intent) -> Iterator[Complaint]:
    takes = intent.takes()
    if takes is None:
        return
    for field in ("columns", "settings"):
        for name in getattr(spec, field):
            if name not in takes:
                yield Complaint(
                    field=field,
                    problem=f"there is no input `{name}`",
                    got=f"inputs: {', '.join(takes) or 'none'}",
                    fix=suggest(name, takes) or "leave it out",
                )


def _columns(spec: JobSpec, inputs: tuple[str, ...], known: tuple[str, ...]) -> Iterator[Complaint]:
    wanted = {name: spec.columns.get(name, name) for name in inputs}
    for name, column in {**wanted, **spec.columns}.items():
        if column not in known:
            field = "columns" if name in spec.columns else "source"
            yield _missing(field, column, known, f'columns={{"{name}": …}}')
    for column in spec.keep:
        if column not in known:
            yield _missing("keep", column, known, "leave it out")
    if spec.id_column is not None and spec.id_column not in known:
        yield _missing("id_column", spec.id_column, known, "leave it out")


def _missing(field: str, column: str, known: tuple[str, ...], otherwise: str) -> Complaint:
    return Complaint(
        field=field,
        problem=f"the source has no column `{column}`",
        got=f"columns: {', '.join(known)}",
        fix=suggest(column, known) or otherwise,
    )


def _twice(spec: JobSpec, intent: Intent) -> Iterator[Complaint]:
    """Refuse two values of one name in a row of the sink."""
    key = spec.id_column or "key"
    seen = {key: "the id"}
    kept = [name for name in spec.keep if name != spec.id_column]  # it is there anyway
    named = [*((n, "kept") for n in kept), *((n, "an output") for n in intent.outputs() or ())]
    for name, what in named:
        if name in seen:
            yield Complaint(
                field="keep" if name in spec.keep else "sink",
                problem=f"rows of the sink would have `{name}` twice",
                got=f"it is {seen[name]} and {what}",
                fix="leave it out of `keep`" if name in spec.keep else "rename the output",
            )
        seen[name] = what

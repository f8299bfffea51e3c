"""Whether a job can run, asked before anything is started: every field that cannot be, at once.

Owns `check` and `Checked`. Knows nothing of ledgers and processes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, final

import msgspec

from openautoglm.data.catalog import open_source
from openautoglm.data.location import read_location, redacted
from openautoglm.engine.sampling import SamplingParams, sampling_names
from openautoglm.errors import JobSpecError, OpenAutoGLMError
from openautoglm.jobs.checking_columns import column_complaints
from openautoglm.jobs.checking_resources import resource_complaints
from openautoglm.jobs.checking_values import number_complaints, plain_values
from openautoglm.jobs.complaint import Complaint, of_error
from openautoglm.jobs.destination import is_local, try_sink
from openautoglm.jobs.embedding import embedded
from openautoglm.jobs.spec import JobSpec
from openautoglm.jobs.works import WAYS, read_intent
from openautoglm.jobs.works.providers import known_here_alone
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openautoglm.data.source import Description
    from openautoglm.engine.backend import BackendEntry
    from openautoglm.jobs.works.intent import Intent
    from openautoglm.registry import Registry

OF_ALL: Final = ("device", "dtype", "adapters")
"""Options that every backend is asked with."""
SECRETS: Final = frozenset({"api_key"})
OF_MODELS: Final = ("model", "schema", "options", "sampling", "settings")
"""What a function has no use for."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A job that can run, as far as can be told before it does."""

    spec: JobSpec
    intent: Intent
    description: Description


def check(spec: JobSpec) -> Checked:
    """Look at every field of a job; what is returned has its texts embedded.

    Raises:
        JobSpecError: names all that cannot be.
    """
    spec, complaints = plain_values(spec)
    _refuse_any(complaints)  # of other types nothing more can be asked
    spec = _embedded(spec)
    complaints = [*number_complaints(spec), *_uses(spec), *_places(spec), *_asking(spec)]
    complaints += resource_complaints(spec.resources)
    intent = _intent(spec, complaints)
    description = _described(spec, complaints)
    if not any(c.field == "sink" for c in complaints):
        complaints += of_error("sink", lambda: try_sink(spec.sink))
    if description is not None:
        complaints += column_complaints(spec, intent, description)
    complaints += _steps_of_workers(spec, intent)
    _refuse_any(complaints)
    if intent is None or description is None:
        raise AssertionError("what is missing has its complaint")
    return Checked(spec=spec, intent=intent, description=description)


def refuse(complaints: Sequence[Complaint]) -> NoReturn:
    """Raise one error for all complaints."""
    if len(complaints) == 1:
        (only,) = complaints
        raise JobSpecError(f"`{only.field}`: {only.problem}", got=only.got, fix=only.fix)
    fields = ", ".join(f"`{name}`" for name in dict.fromkeys(c.field for c in complaints))
    raise JobSpecError(
        f"{len(complaints)} things keep this job from running, in {fields}",
        got="".join(f"\n    {complaint}" for complaint in complaints),
        fix="".join(f"\n    {c.field}: {c.fix}" for c in complaints if c.fix) or None,
    )


def _refuse_any(complaints: Sequence[Complaint]) -> None:
    if complaints:
        refuse(complaints)


def _uses(spec: JobSpec) -> Iterator[Complaint]:
    """Refuse what nobody would look at."""
    if spec.function is not None:
        for name in OF_MODELS:
            if getattr(spec, name):
                yield Complaint(
                    field=name, problem="a function has no use for it", fix="leave it out"
                )
    elif spec.pipeline is not None and spec.schema is not None:
        fix = "set it on the pipeline's `model.generate` step"
        yield Complaint(field="schema", problem="it is for `template` alone", fix=fix)
    for name in SECRETS & set(spec.options):
        yield Complaint(
            field=f"options.{name}",
            problem="a job is kept in its ledger, where others may read the key",
            fix="leave it out and set OPENAI_API_KEY where the job runs",
        )
    if spec.id_column is None and spec.on_duplicate_id != "error":
        yield Complaint(
            field="on_duplicate_id",
            problem="rows have no ids without `id_column`",
            fix="name the column, or leave it out",
        )


def _asking(spec: JobSpec) -> Iterator[Complaint]:
    """Look at what a model is asked with."""
    if spec.function is None:
        if spec.sampling:
            yield from of_error("sampling", lambda: SamplingParams().override(spec.sampling))
        if spec.backend != "auto":
            yield from of_error("backend", lambda: _backends().entry(spec.backend))
        if spec.options:
            yield from _options(spec)
    schema = spec.schema
    if spec.template is not None and schema is not None:
        from openautoglm.pipeline.steps.schema import check_schema

        yield from of_error("schema", lambda: check_schema(schema))


def _backends() -> Registry[BackendEntry]:
    from openautoglm.engine.backend import BACKENDS  # a function needs none

    return BACKENDS


def _options(spec: JobSpec) -> Iterator[Complaint]:
    """Refuse options that no backend takes; whether the one that is chosen does, it says itself."""
    backends = _backends()
    taken = {name for backend in backends.names() for name in backends.get(backend).options}
    known = (*OF_ALL, *sampling_names(), *sorted(taken))
    for name in spec.options:
        if name not in known and name not in SECRETS:
            yield Complaint(
                field=f"options.{name}",
                problem="no model takes such an option",
                got=f"options: {', '.join(known)}",
                fix=suggest(name, known) or "leave it out",
            )


def _places(spec: JobSpec) -> Iterator[Complaint]:
    for field in ("source", "sink"):
        url: str = getattr(spec, field)
        if url.lower().startswith("memory:"):
            yield Complaint(
                field=field,
                problem="a table in memory is of one process, and workers are others",
                got=redacted(url),
                fix="name a file, such as rows.jsonl",
            )
    if spec.source == spec.sink or (_path(spec.source) or spec.source) == _path(spec.sink):
        yield Complaint(
            field="sink",
            problem="it is the source as well",
            got=redacted(spec.sink),
            fix="write elsewhere: what is read must stay as it is",
        )


def _embedded(spec: JobSpec) -> JobSpec:
    field = next((name for name in WAYS if getattr(spec, name) is not None), "pipeline")
    found: list[JobSpec] = []
    _refuse_any(of_error(field, lambda: found.append(embedded(spec))))
    return found[0]


def _path(url: str) -> str | None:
    """Return the path behind a URL of files of this machine."""
    try:
        location = read_location(url, {})
        return os.path.realpath(location.path) if is_local(location) else None
    except (OpenAutoGLMError, ValueError):  # whoever opens it says so
        return None


def _intent(spec: JobSpec, complaints: list[Complaint]) -> Intent | None:
    if any(c.field in {"sampling", "schema"} for c in complaints):
        return None  # it would complain of the same
    found: list[Intent] = []
    field = ", ".join(name for name in WAYS if getattr(spec, name) is not None) or "pipeline"
    complaints += of_error(field, lambda: found.append(read_intent(spec)))
    return found[0] if found else None


def _steps_of_workers(spec: JobSpec, intent: Intent | None) -> Iterator[Complaint]:
    """Refuse steps that were registered in this process and that no other one will find."""
    if intent is None or spec.pipeline is None:
        return
    from openautoglm.jobs.works.pipeline import PipelineIntent

    if isinstance(intent, PipelineIntent):
        for step in known_here_alone(intent.pipeline):
            yield Complaint(
                field="pipeline",
                problem=f"the step `{step}` is known to this process alone, and workers are others",
                fix="put it into a plugin and install that: oag plugin new …",
            )


def _described(spec: JobSpec, complaints: list[Complaint]) -> Description | None:
    if any(c.field == "source" for c in complaints):
        return None
    found: list[Description] = []
    complaints += of_error("source", lambda: found.append(describe(spec.source)))
    return found[0] if found else None


def describe(source: str) -> Description:
    """Return what a source says of itself; errors as `open_source`."""
    opened = open_source(source)
    try:
        return opened.describe()
    finally:
        opened.close()


def read_spec(plain: bytes) -> JobSpec:
    """Return a job from the JSON that the ledger keeps.

    Raises:
        JobSpecError: it was written by another version of this package.
    """
    try:
        return msgspec.json.decode(plain, type=JobSpec)
    except (msgspec.DecodeError, OpenAutoGLMError) as cause:
        raise JobSpecError(
            f"the ledger's description of the job cannot be read: {cause}",
            fix="use the version of openautoglm that made it",
        ) from cause

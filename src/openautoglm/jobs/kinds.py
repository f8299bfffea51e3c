"""YAML files of the kinds `Job` and `Schedule`: read, checked, every complaint at its line.

Owns what the kinds hold. Knows nothing of ledgers: nothing is submitted or applied here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from openautoglm.data.anchor import anchored
from openautoglm.errors import (
    InputDecodeError,
    InputNotFoundError,
    JobSpecError,
    PromptNotFoundError,
    PromptStoreError,
    ScheduleError,
    UnknownNameError,
)
from openautoglm.jobs.documents import SPEC, documents_of, opened, read_file
from openautoglm.jobs.embedding import embedded, is_here, is_path_of_template
from openautoglm.jobs.schedules.schedule import Schedule
from openautoglm.jobs.spec import JobSpec
from openautoglm.jobs.works import WAYS
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openautoglm.errors import OpenAutoGLMError
    from openautoglm.pipeline.document import Document
    from openautoglm.pipeline.spec import Path as Way

KINDS: Final[Mapping[str, type[OpenAutoGLMError]]] = {
    "Job": JobSpecError,
    "Schedule": ScheduleError,
}
ELSEWHERE: Final = (
    InputDecodeError,
    InputNotFoundError,
    PromptNotFoundError,
    PromptStoreError,
    UnknownNameError,
)
"""Errors of what a job names and does not hold."""
NAMED: Final = ("name",)  # stands in `metadata`
MADE: Final = (*NAMED, "prompts")  # the last is filled in when the job is made


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """What a file describes.

    Attributes:
        file: its name, for messages.
        jobs: by name.
        schedules: by name.
        places: by name of a job and of a field that is written: file, line and column of it.
    """

    file: str
    jobs: Mapping[str, JobSpec]
    schedules: Mapping[str, Schedule]
    places: Mapping[str, Mapping[str, str]]

    def job(self, name: str | None = None) -> JobSpec:
        """Return the job of that name, or the only one.

        Raises:
            JobSpecError: there is none, or there are several and no name was given.
        """
        known = tuple(self.jobs)
        if name is None and len(known) == 1:
            return self.jobs[known[0]]
        if name is not None and name in self.jobs:
            return self.jobs[name]
        problem = "holds no job" if not known else "holds several jobs"
        if name is not None:
            problem = f"holds no job `{name}`"
        raise JobSpecError(
            f"{self.file} {problem}",
            got=f"jobs: {', '.join(known) or 'none'}",
            fix=suggest(name or "", known) or "name one of the jobs, or write `kind: Job`",
        )


def read_kinds(path: str) -> Kinds:
    """Read a file of one or more documents; `-` is standard input.

    Paths in it that are relative are counted from the folder of the file, so that it means the same
    wherever it is read from. Files it names, of pipelines and templates, are read too.

    Raises:
        InputNotFoundError: it cannot be opened.
        JobSpecError: something cannot be read, a job is wrong, or what it names is not there; names
            file, line and the fix.
        ScheduleError: a schedule is wrong, likewise.
        PipelineSyntaxError: a pipeline in it is wrong, likewise.
    """
    documents, folder = read_file(path)
    return kinds_of(documents, folder=folder)


def read_kinds_text(text: str, *, name: str = "<text>", folder: Path | None = None) -> Kinds:
    """Read the text of such a file; errors as `read_kinds`.

    Args:
        text: one or more documents.
        name: what to call it in messages.
        folder: from which relative paths are counted; None is the working directory.

    Example:
        >>> kinds = read_kinds_text('''
        ... apiVersion: openautoglm/v1
        ... kind: Job
        ... metadata: {name: sort}
        ... spec: {source: "memory://in", sink: "memory://out", pipeline: classify}
        ... ''')
        >>> kinds.job().name
        'sort'
    """
    return kinds_of(documents_of(text, file=name), folder=(folder or Path()).absolute())


def kinds_of(documents: Iterable[Document], *, folder: Path) -> Kinds:
    """Return what documents describe; errors as `read_kinds`."""
    found = [opened(document, KINDS) for document in documents]
    _check_names(found)
    jobs = {
        name: _job(document, SPEC, name, folder) for document, kind, name in found if kind == "Job"
    }
    schedules = {
        name: _schedule(document, name, jobs, folder)
        for document, kind, name in found
        if kind == "Schedule"
    }
    places = {
        name: {field: document.place((*SPEC, field)) for field in document.mapping(SPEC)}
        for document, kind, name in found
        if kind == "Job"
    }
    return Kinds(file=found[0][0].file, jobs=jobs, schedules=schedules, places=places)


def _check_names(found: Iterable[tuple[Document, str, str]]) -> None:
    seen: set[tuple[str, str]] = set()
    for document, kind, name in found:
        if (kind, name) in seen:
            problem = f"there are two of kind {kind} with the name `{name}`"
            document.refuse(("metadata", "name"), problem, fix="rename one")
        seen.add((kind, name))


def _job(document: Document, path: Way, name: str, folder: Path) -> JobSpec:
    document.check_fields(path, JobSpec, elsewhere=MADE)
    document.check_keys(path, JobSpec.__struct_encode_fields__, must=("source", "sink"))
    plain = {key: node.plain() for key, node in document.mapping(path).items()}
    plain["name"] = name
    field = next((way for way in WAYS if document.has((*path, way))), None)
    try:
        if field == "pipeline":
            plain[field] = _pipeline(document, (*path, field), folder)
        return embedded(_from_folder(document.convert(path, plain, JobSpec), folder))
    except ELSEWHERE as cause:
        where = path if field is None else (*path, field)
        document.refuse(where, cause.problem, got=cause.got, fix=cause.fix, cause=cause)


def _from_folder(job: JobSpec, folder: Path) -> JobSpec:
    """Return a job whose relative paths are counted from a folder."""
    template, model = job.template, job.model
    if isinstance(template, str) and is_path_of_template(template):
        template = anchored(template, folder)
    if model is not None and is_here(model, folder):
        model = anchored(model, folder)
    return msgspec.structs.replace(
        job,
        source=anchored(job.source, folder),
        sink=anchored(job.sink, folder),
        template=template,
        model=model,
    )


def _pipeline(document: Document, path: Way, folder: Path) -> object:
    """Return a task's name as it is, and the text of what is a file or stands right here."""
    node = document.root.at(path)
    if isinstance(node.value, dict):
        from openautoglm.pipeline.catalog import STEPS
        from openautoglm.pipeline.graph import Pipeline
        from openautoglm.pipeline.loader import spec_of

        return Pipeline.from_spec(spec_of(node, name=document.file, steps=STEPS)).to_yaml()
    if isinstance(node.value, str) and node.value.endswith((".yaml", ".yml")):
        from openautoglm.pipeline.graph import Pipeline

        return Pipeline.from_yaml(Path(folder / node.value)).to_yaml()
    return node.plain()


def _schedule(document: Document, name: str, jobs: Mapping[str, JobSpec], folder: Path) -> Schedule:
    document.check_fields(SPEC, Schedule, elsewhere=NAMED, apart=("job",))
    document.check_keys(SPEC, Schedule.__struct_encode_fields__, must=("job",))
    plain = {key: node.plain() for key, node in document.mapping(SPEC).items()}
    job = _job_of(document, name, jobs, folder)
    plain |= {"name": name, "job": msgspec.to_builtins(job)}
    return document.convert(SPEC, plain, Schedule)


def _job_of(
    document: Document, schedule: str, jobs: Mapping[str, JobSpec], folder: Path
) -> JobSpec:
    """Return the job that stands in a schedule, or the one in the same file that it refers to."""
    path: Way = (*SPEC, "job")
    if "ref" not in document.mapping(path):
        return _job(document, path, schedule, folder)
    document.check_keys(path, ("ref",))
    name = document.text((*path, "ref"))
    if name not in jobs:
        got = f"jobs in this file: {', '.join(jobs) or 'none'}"
        fix = suggest(name, tuple(jobs)) or "add a document of kind Job with that name"
        document.refuse((*path, "ref"), f"there is no job `{name}`", got=got, fix=fix)
    return jobs[name]

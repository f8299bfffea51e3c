"""The options of `oag batch run` to a job's description; what is given wins over the job file.

Owns `read_job` and the readings of single options. Knows nothing of running a job.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from openautoglm.errors import InputDecodeError, InvalidParameterError, JobSpecError
from openautoglm.jobs.documents import STDIN
from openautoglm.jobs.kinds import read_kinds
from openautoglm.jobs.spec import JobSpec
from openautoglm.pipeline.complaints import first_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from openautoglm.jobs.batch_job import BatchJob

NOT_GIVEN: Final[tuple[object, ...]] = (None, (), {}, [])
WORKS: Final = ("pipeline", "template", "prompt", "function")
"""What is done with a row; one of them."""
SUBFIELD: Final = re.compile(r"[.,][^`]*`")
"""Behind the first field in backticks: what is below it, or beside it."""


def read_job(
    file: str | None, chosen: str | None, given: Mapping[str, object], settings: Iterable[str]
) -> JobSpec:
    """Return the job of a file with the options that were given, or the one of these alone.

    Args:
        file: a YAML file with documents of the kind `Job`; None for none.
        chosen: which of them; None for the only one.
        given: by field of `JobSpec`; None and empty ones were not given.
        settings: as `oag run --set` takes them.

    Raises:
        JobSpecError: no source, no sink, or nothing to do; or the file is wrong.
        InvalidParameterError: a setting cannot be read, or names nothing.
    """
    described = {} if file is None else msgspec.to_builtins(read_kinds(file).job(chosen))
    fields = merge(described, given)
    for end in ("source", "sink"):
        if not fields.get(end):
            raise JobSpecError(
                f"the job has no {end}", fix=f"name a file or URL: --{end} …, or a job file"
            )
    fields |= with_settings(fields, tuple(settings))
    try:
        return msgspec.convert(fields, JobSpec)
    except msgspec.ValidationError as cause:
        raise JobSpecError(f"{cause}", fix="see `oag batch run --help`") from cause


@contextmanager
def at_its_line(file: str | None, job: str, given: Mapping[str, object]) -> Iterator[None]:
    """Let an error that names a field tell where that stands in the job file.

    Args:
        file: of the job; None for none.
        job: its name there.
        given: what was given by option, where the file is not to blame.
    """
    try:
        yield
    except JobSpecError as error:
        places = {} if file in {None, STDIN} else read_kinds(str(file)).places.get(job, {})
        written = [field for field in places if not _is_given(given.get(field))]
        field = first_named(SUBFIELD.sub("`", error.problem.partition(": ")[0]), written)
        if field is None:
            raise
        problem = f"{places[field]}: {error.problem}"
        raise JobSpecError(problem, got=error.got, fix=error.fix) from error


def _is_given(value: object) -> bool:
    if isinstance(value, dict):
        return any(each is not None for each in value.values())
    return value not in NOT_GIVEN


def runnable(spec: JobSpec) -> BatchJob:
    """Return a description as a job that can be run."""
    from openautoglm.jobs.batch_job import BatchJob

    return msgspec.convert(msgspec.to_builtins(spec), BatchJob)


def merge(described: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    """Return fields with those that were given put over them; mappings are merged by key.

    Example:
        >>> merge({"budget": {"rows": 1}, "pipeline": "classify"}, {"template": "{a}", "keep": ()})
        {'budget': {'rows': 1}, 'template': '{a}'}
    """
    fields = dict(described)
    if any(given.get(work) for work in WORKS):
        fields = {name: v for name, v in fields.items() if name not in {*WORKS, "prompts"}}
    for name, value in given.items():
        before = fields.get(name)
        if isinstance(value, dict):
            inner = {key: each for key, each in value.items() if each is not None}
            value = {**before, **inner} if isinstance(before, dict) else inner  # noqa: PLW2901 - the same, merged
        if value not in NOT_GIVEN:
            fields[name] = value
    return fields


def with_settings(fields: Mapping[str, object], texts: tuple[str, ...]) -> dict[str, object]:
    """Return the fields that settings change: the pipeline's parameters, values for its inputs."""
    from openautoglm.cli.parameters import apply_settings, read_setting
    from openautoglm.pipeline.graph import Pipeline

    if not texts:
        return {}
    read = [read_setting(text) for text in texts]
    before = fields.get("settings")
    shared = dict(before) if isinstance(before, dict) else {}
    task = fields.get("pipeline")
    if not isinstance(task, str):
        for each in read:
            if each.component is not None:
                raise InvalidParameterError(
                    "`--set component.parameter` is for pipelines",
                    got=f"{each.component}.{each.name}",
                    fix="name one with --task, or write --set NAME=VALUE",
                )
        return {"settings": {**shared, **{each.name: each.value for each in read}}}
    loaded = Pipeline.from_yaml(task) if "\n" in task else Pipeline.load(task)
    pipeline, inputs = apply_settings(loaded, texts)
    changed = {"pipeline": pipeline.to_yaml()} if any(each.component for each in read) else {}
    return {"settings": {**shared, **inputs}, **changed}


def read_task(task: str | None) -> str | None:
    """Return a task's name as it is, and the text of a file."""
    if task is None or not task.endswith((".yaml", ".yml")):
        return task
    from openautoglm.pipeline.graph import Pipeline

    return Pipeline.from_yaml(task).to_yaml()


def read_schema(file: str | None) -> object:
    """Return the JSON object in a file.

    Raises:
        InputNotFoundError: no such file.
        InputDecodeError: it holds something else.
    """
    if file is None:
        return None
    import json

    from openautoglm.cli.inputs import Reading, read_text

    text = read_text(file, Reading())
    try:
        schema = json.loads(text)
    except ValueError as cause:
        raise InputDecodeError(f"`{file}` is no JSON: {cause}", fix="check it") from cause
    if not isinstance(schema, dict):
        raise InputDecodeError(f"`{file}` holds no JSON schema", fix='write {"type": "object", …}')
    return schema


def read_resources(texts: Iterable[str] | None) -> dict[str, float]:
    """Read `--resource NAME=AMOUNT`.

    Example:
        >>> read_resources(["GPU=0.5", "oag-camera=1"])
        {'GPU': 0.5, 'oag-camera': 1.0}
    """
    found = {}
    for text in texts or ():
        name, _, amount = text.partition("=")
        try:
            found[name.strip()] = float(amount)
        except ValueError as cause:
            raise InvalidParameterError(
                "`--resource` cannot be read", got=text, fix="write --resource NAME=AMOUNT"
            ) from cause
    return found


def read_columns(texts: Iterable[str] | None) -> dict[str, str]:
    """Read `--column input=column`.

    Example:
        >>> read_columns(["text=body"])
        {'text': 'body'}
    """
    found = {}
    for text in texts or ():
        name, equals, column = text.partition("=")
        if not (name and equals and column):
            raise InvalidParameterError(
                "`--column` cannot be read", got=text, fix="write --column input=column"
            )
        found[name] = column
    return found

"""A job that needs no file and no folder of where it was described: `embedded`.

A pipeline's name or path becomes its text, so does a template's path; paths of data and of a model
become absolute. So a job goes on as it was submitted, from any folder, whatever becomes of the
files. Knows nothing of whether the job can run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from openautoglm.data.anchor import anchored
from openautoglm.errors import InputDecodeError
from openautoglm.jobs.spec import JobSpec
from openautoglm.platform_io.refusals import unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDINGS: Final = (".txt", ".md", ".json")
"""One line that ends so is the path of a template."""


def embedded(spec: JobSpec) -> JobSpec:
    """Return the same job with its texts in it and its paths absolute.

    Raises:
        OpenAutoGLMError: a text cannot be read; names the file.
    """
    fields = {name: getattr(spec, name) for name in JobSpec.__struct_fields__}
    changed: dict[str, Any] = {
        "source": anchored(spec.source, Path.cwd()),
        "sink": anchored(spec.sink, Path.cwd()),
        "model": _model(spec.model),
        "pipeline": None if spec.pipeline is None else _pipeline(spec.pipeline),
        "template": None if spec.template is None else _template(spec.template),
    }
    return JobSpec(**{**fields, **changed})


def _pipeline(given: str) -> str:
    from openautoglm.pipeline.catalog import task_text
    from openautoglm.pipeline.loader import read_source

    if "\n" in given:
        return given
    text = task_text(given) if not given.endswith((".yaml", ".yml")) else None
    return read_source(given)[0] if text is None else text


def _template(given: str | tuple[Mapping[str, str], ...]) -> str | tuple[Mapping[str, str], ...]:
    if not isinstance(given, str) or "\n" in given or "{" in given:
        return given
    if not given.endswith(ENDINGS):
        return given
    text = _read(given)
    if not given.endswith(".json"):
        return text.removesuffix("\n").removesuffix("\r")
    try:
        return msgspec.json.decode(text, type=tuple[dict[str, str], ...])
    except msgspec.DecodeError as cause:
        raise InputDecodeError(
            f"the template `{given}` holds no messages: {cause}",
            fix='write [{"role": "user", "content": "…"}]',
        ) from cause


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as cause:
        raise unreadable(path, cause) from cause
    except UnicodeDecodeError as cause:
        raise InputDecodeError(
            f"the template `{path}` is not UTF-8",
            got=f"byte {cause.object[cause.start]:#04x} at offset {cause.start}",
            fix="save the file as UTF-8",
        ) from cause


def _model(given: str | None) -> str | None:
    """Return a model's folder or file by its whole path; a name or a URL as it is."""
    if given is None or "://" in given:
        return given
    try:
        path = Path(given).expanduser()
        return str(path.absolute()) if path.exists() else given
    except (OSError, RuntimeError):  # no path at all
        return given

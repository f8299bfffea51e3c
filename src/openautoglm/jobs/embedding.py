"""A job that needs no file and no folder of where it was described: `embedded`.

A pipeline's name or path becomes its text, so does a template's path and what is in the prompt
store; paths of data and of a model become absolute. So a job goes on as it was submitted, from any
folder, whatever becomes of the files. Knows nothing of whether the job can run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from openautoglm.data.anchor import anchored
from openautoglm.errors import InputDecodeError, InputNotFoundError
from openautoglm.jobs.spec import JobSpec
from openautoglm.jobs.stored_prompts import is_selector, stored_template, with_texts
from openautoglm.platform_io.refusals import unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

Template: TypeAlias = "str | tuple[Mapping[str, str], ...]"
ENDINGS: Final = (".txt", ".md", ".json")
"""One line that ends so is the path of a template."""


def embedded(spec: JobSpec) -> JobSpec:
    """Return the same job with its texts in it and its paths absolute.

    Raises:
        OpenAutoGLMError: a text cannot be read; names the file or the prompt.
    """
    fields = {name: getattr(spec, name) for name in JobSpec.__struct_fields__}
    changed: dict[str, Any] = {
        "source": anchored(spec.source, Path.cwd()),
        "sink": anchored(spec.sink, Path.cwd()),
        "model": _model(spec.model),
        **_asked(spec),
        **_steps(spec),
    }
    return JobSpec(**{**fields, **changed})


def is_name_of_template(template: str) -> bool:
    """Whether a template's text is the path of a file, or a name in the prompt store.

    Example:
        >>> is_name_of_template("ask.txt"), is_name_of_template("ask@2")
        (True, True)
        >>> is_name_of_template("Say {word} as in notes.txt")
        False
    """
    return is_selector(template) or is_path_of_template(template)


def is_path_of_template(template: str) -> bool:
    """Whether a template's text is the path of a file."""
    return "\n" not in template and "{" not in template and template.endswith(ENDINGS)


def _asked(spec: JobSpec) -> dict[str, object]:
    """Return the fields that say what is asked, with the text in them."""
    template, prompt = spec.template, spec.prompt
    if template is None and prompt is not None:
        return _stored(spec, prompt)
    if isinstance(template, str) and prompt is None:
        if is_selector(template):
            return _stored(spec, template)
        if is_path_of_template(template):
            return {"template": _file(template)}
    return {}


def _stored(spec: JobSpec, selector: str) -> dict[str, object]:
    content, taken = stored_template(selector)
    template = content if isinstance(content, str) else tuple({**m} for m in content)
    return {"template": template, "prompt": None, "prompts": {**spec.prompts, "template": taken}}


def _steps(spec: JobSpec) -> dict[str, object]:
    """Return the field of the pipeline, with its text and those of its prompts."""
    if spec.pipeline is None:
        return {}
    text, taken = with_texts(_pipeline(spec.pipeline))
    more: dict[str, object] = {"prompts": {**spec.prompts, **taken}} if taken else {}
    return {"pipeline": text, **more}


def _pipeline(given: str) -> str:
    from openautoglm.pipeline.catalog import task_text
    from openautoglm.pipeline.loader import read_source

    if "\n" in given:
        return given
    text = task_text(given) if not given.endswith((".yaml", ".yml")) else None
    return read_source(given)[0] if text is None else text


def _file(given: str) -> Template:
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
    except ValueError as cause:
        raise InputNotFoundError(
            f"no file can be called so: {cause}", got=repr(path), fix="check the path"
        ) from cause


def _model(given: str | None) -> str | None:
    """Return a model's folder or file by its whole path; a name or a URL as it is."""
    if given is None or "://" in given or not is_here(given, Path.cwd()):
        return given
    return str(Path(given).expanduser().absolute())


def is_here(model: str, folder: Path) -> bool:
    """Whether a model's name is a path of this machine, counted from a folder."""
    try:
        return (folder / Path(model).expanduser()).exists()
    except (OSError, RuntimeError, ValueError):  # no path at all
        return False

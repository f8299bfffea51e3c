"""Objects of a program that describe a job, as the plain values that a job file holds.

Owns `plain_template` and `plain_pipeline`. Knows nothing of the other fields of a job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from openautoglm.errors import JobSpecError, OpenAutoGLMError
from openautoglm.jobs.embedding import is_name_of_template

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from openautoglm.pipeline.graph import Pipeline
    from openautoglm.prompts.template import PromptTemplate


def plain_template(given: object) -> object:
    """Return a `PromptTemplate` as its text or its messages, and everything else as it is.

    Raises:
        JobSpecError: its text would be read as the name of a file or of a stored prompt.

    Example:
        >>> from openautoglm import PromptTemplate
        >>> plain_template(PromptTemplate("Say {word}", ["word"]))
        'Say {word}'
    """
    if given is None or isinstance(given, (str, bytes)):
        return given
    if isinstance(given, Sequence):
        return tuple(given)
    if not _is_template(given):
        return given
    content = given.template
    if not isinstance(content, str):
        return tuple({**message} for message in content)
    if is_name_of_template(content):
        raise JobSpecError(
            "`template`: the text of the PromptTemplate reads as a file or a stored prompt",
            got=repr(content),
            fix="add a {column}, or make it a chat of one message",
        )
    return content


def plain_pipeline(given: object) -> object:
    """Return a `Pipeline` as its YAML, and everything else as it is.

    Raises:
        JobSpecError: it cannot be written down whole; says why.
    """
    if not _is_pipeline(given):
        return given
    import yaml

    from openautoglm.pipeline.graph import Pipeline

    try:
        text = given.to_yaml()
        again = Pipeline.from_yaml(text)
    except OpenAutoGLMError as cause:
        raise _unwritable(given, cause.problem, cause.got, cause.fix) from cause
    except (yaml.YAMLError, msgspec.MsgspecError, TypeError, ValueError) as cause:
        raise _unwritable(given, str(cause), None, None) from cause
    if again.to_yaml() != text or again != given:
        raise _unwritable(given, "it would be read back as another one", None, None)
    return text


def _is_template(given: object) -> TypeIs[PromptTemplate]:
    from openautoglm.prompts.template import PromptTemplate

    return isinstance(given, PromptTemplate)


def _is_pipeline(given: object) -> TypeIs[Pipeline]:
    if given is None or isinstance(given, (str, Mapping)):
        return False
    from openautoglm.pipeline.graph import Pipeline

    return isinstance(given, Pipeline)


def _unwritable(given: Pipeline, problem: str, got: object, fix: str | None) -> JobSpecError:
    return JobSpecError(
        f"`pipeline`: `{given.name}` cannot be written as YAML for other processes: {problem}",
        got=got,
        fix=fix or "give its steps and inputs plain values: texts, numbers, lists, mappings",
    )

"""Prompts of the store, taken into a job when it is made: an edit of the store changes no job.

Owns `is_selector`, `stored_template` and `with_texts`. The store is the one of the settings, as for
pipelines. Knows nothing of the other fields of a job.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from openautoglm.errors import OpenAutoGLMError
from openautoglm.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.pipeline.steps.render import Render
    from openautoglm.prompts.messages import Prompt

SELECTOR: Final = re.compile(r"[\w-]+@[\w-]+")
"""A template that is written so is the name of one."""


def is_selector(template: str) -> bool:
    """Whether a template's text names a prompt of the store.

    Example:
        >>> is_selector("summary@production"), is_selector("Mail {name} at x@example.com")
        (True, False)
    """
    return SELECTOR.fullmatch(template) is not None


def stored_template(selector: str) -> tuple[Prompt, str]:
    """Return a stored prompt's text or messages, and its `name@version`.

    Raises:
        PromptNotFoundError: no such prompt, version or alias.
        PromptStoreError: the file cannot be read, or a version of it was edited.
    """
    from openautoglm.prompts.store import PromptStore

    version = PromptStore(Settings.from_env(os.environ).prompts_dir).version(selector)
    return version.template.template, f"{selector.partition('@')[0]}@{version.number}"


def with_texts(pipeline: str) -> tuple[str, Mapping[str, str]]:
    """Return a pipeline's YAML with the texts of its stored prompts, and what they are.

    One that cannot be read is returned as it is: whoever checks the job says why.

    Raises:
        PromptNotFoundError: as `stored_template`.
        PromptStoreError: likewise.
        PipelineGraphError: the prompt has other variables than the pipeline gives it.
    """
    if "prompt" not in pipeline:
        return pipeline, {}
    from openautoglm.pipeline.graph import Pipeline
    from openautoglm.pipeline.steps.render import Render

    try:
        loaded = Pipeline.from_yaml(pipeline)
    except OpenAutoGLMError:
        return pipeline, {}
    components = dict(loaded.spec.components)
    taken: dict[str, str] = {}
    for name, component in components.items():
        step = component.step
        if isinstance(step, Render) and step.prompt is not None:
            content, taken[name] = stored_template(step.prompt)
            components[name] = replace(component, step=_rendering(content))
    if not taken:
        return pipeline, {}
    changed = replace(loaded.spec, components=MappingProxyType(components))
    return Pipeline.from_spec(changed).to_yaml(), taken


def _rendering(content: Prompt) -> Render:
    from openautoglm.pipeline.steps.render import Render

    if isinstance(content, str):
        return Render(template=content)
    return Render(messages=tuple({"role": m["role"], "content": m["content"]} for m in content))

"""What a job may do with a row: a pipeline, a prompt, a function.

Owns `read_intent`, what a description says before any model is loaded, and `open_work`. Knows
nothing of shards and ledgers.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from openautoglm.errors import JobSpecError

if TYPE_CHECKING:
    from openautoglm.jobs.spec import JobSpec
    from openautoglm.jobs.work import Work
    from openautoglm.jobs.works.intent import Intent

WAYS: Final = ("pipeline", "template", "prompt", "function")


def read_intent(spec: JobSpec) -> Intent:
    """Read what is to be done with a row; no model is loaded.

    Raises:
        OpenAutoGLMError: it cannot be read; says why.
    """
    given = [name for name in WAYS if getattr(spec, name) is not None]
    if len(given) != 1:
        raise JobSpecError(
            "set exactly one of `pipeline`, `template`, `prompt` and `function`",
            got=", ".join(given) or "none of them",
            fix="remove the others" if given else 'for example template="Summarise: {text}"',
        )
    if spec.pipeline is not None:
        from openautoglm.jobs.works.pipeline import PipelineIntent

        return PipelineIntent(spec)
    if spec.function is None:
        from openautoglm.jobs.works.prompt import PromptIntent

        return PromptIntent(spec)
    from openautoglm.jobs.works.function import FunctionIntent

    return FunctionIntent(spec)


def open_work(spec: JobSpec) -> Work:
    """Make what works on rows, its model loaded; errors as `read_intent`, and those of loading."""
    from openautoglm.jobs.works.counting import counted

    return counted(read_intent(spec).open(), os.environ)

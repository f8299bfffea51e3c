"""Open-AutoGLM: language-model work on your own models, every stage replaceable.

Public names resolve lazily: importing the package loads no third-party module and starts no thread.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openautoglm.engine.autoglm import AutoGLM
    from openautoglm.engine.generation import Generation
    from openautoglm.engine.row import Row
    from openautoglm.engine.sampling import SamplingParams
    from openautoglm.errors import OpenAutoGLMError
    from openautoglm.jobs.batch_job import BatchJob
    from openautoglm.jobs.run import Run
    from openautoglm.jobs.schedules.schedule import Schedule
    from openautoglm.pipeline.graph import Pipeline
    from openautoglm.platform_io import PlatformIO
    from openautoglm.prompts.store import PromptStore
    from openautoglm.prompts.template import PromptTemplate
    from openautoglm.registry import Registry, owned_by

__version__ = "0.1.0"

_HOMES = {
    "AutoGLM": "openautoglm.engine.autoglm",
    "BatchJob": "openautoglm.jobs.batch_job",
    "Generation": "openautoglm.engine.generation",
    "OpenAutoGLMError": "openautoglm.errors",
    "Pipeline": "openautoglm.pipeline.graph",
    "PlatformIO": "openautoglm.platform_io",
    "PromptStore": "openautoglm.prompts.store",
    "PromptTemplate": "openautoglm.prompts.template",
    "Registry": "openautoglm.registry",
    "Row": "openautoglm.engine.row",
    "Run": "openautoglm.jobs.run",
    "SamplingParams": "openautoglm.engine.sampling",
    "Schedule": "openautoglm.jobs.schedules.schedule",
    "owned_by": "openautoglm.registry",
}

__all__ = [
    "AutoGLM",
    "BatchJob",
    "Generation",
    "OpenAutoGLMError",
    "Pipeline",
    "PlatformIO",
    "PromptStore",
    "PromptTemplate",
    "Registry",
    "Row",
    "Run",
    "SamplingParams",
    "Schedule",
    "__version__",
    "owned_by",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'openautoglm' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return __all__

"""What steps may use while they run.

Owns `RunContext`, the `StepContext` that the executor lends. Knows nothing of graphs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from openautoglm.errors import PipelineGraphError
from openautoglm.settings import Settings

if TYPE_CHECKING:
    from openautoglm.pipeline.step import Engine
    from openautoglm.platform_io import PlatformIO
    from openautoglm.prompts.store import PromptStore
    from openautoglm.prompts.template import PromptTemplate


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """A `StepContext` over what the caller passed; what was not passed is made when asked for."""

    given_engine: Engine | None = None
    given_prompts: PromptStore | None = None
    given_platform_io: PlatformIO | None = None
    source: str = ""
    templates: dict[str, PromptTemplate] = field(default_factory=dict)  # those read so far

    @property
    def engine(self) -> Engine:
        """The model.

        Raises:
            PipelineGraphError: none was passed.
        """
        if self.given_engine is None:
            raise PipelineGraphError(
                "this step needs a model and the pipeline was started without one",
                fix="pass `engine=AutoGLM(...)` to `run` or `stream`",
            )
        return self.given_engine

    def stored_template(self, selector: str) -> PromptTemplate:
        """Return a prompt of the store passed, or else of the one of the settings; read once.

        Raises:
            PromptNotFoundError: no such prompt, version or alias.
            PromptStoreError: its file cannot be read.
        """
        if selector not in self.templates:
            self.templates[selector] = self._prompts().get(selector)
        return self.templates[selector]

    @property
    def platform_io(self) -> PlatformIO:
        """Files and environment: what was passed, or else this machine's."""
        if self.given_platform_io is not None:
            return self.given_platform_io
        from openautoglm.platform_io import detect

        return detect()

    def _prompts(self) -> PromptStore:
        if self.given_prompts is not None:
            return self.given_prompts
        from openautoglm.prompts.store import PromptStore

        return PromptStore(Settings.from_env(os.environ).prompts_dir)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens of the model `text` takes; errors as `engine`."""
        return self.engine.count_tokens(text)

"""The model of a job: loaded as the job says, its tokens counted by row.

Owns `load_engine` and `CountedEngine`. Knows nothing of pipelines and prompts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from openautoglm.engine.autoglm import AutoGLM
    from openautoglm.engine.generation import Generation
    from openautoglm.jobs.spec import JobSpec


def load_engine(spec: JobSpec) -> AutoGLM:
    """Load the model of a job; errors as `AutoGLM`."""
    from openautoglm.engine.autoglm import AutoGLM

    given: dict[str, Any] = {**spec.options, **spec.sampling}
    return AutoGLM(spec.model, backend=spec.backend, **given)


def tokens_of(generation: Generation) -> int:
    """Return what was computed for an answer and its others, their prompt counted once.

    Example:
        >>> from openautoglm import Generation
        >>> tokens_of(Generation(text="", finish_reason="stop", prompt_tokens=3))
        3
    """
    others = sum(other.completion_tokens for other in generation.others)
    return generation.prompt_tokens + generation.completion_tokens + others


@final
class CountedEngine:
    """A model as the steps of one row see it; `tokens` is what they had it compute."""

    def __init__(self, engine: AutoGLM) -> None:
        self._engine = engine
        self.tokens = 0

    def run(self, *args: Any, **options: Any) -> Generation:  # noqa: ANN401 - the engine checks
        """See `AutoGLM.run`."""
        generation = self._engine.run(*args, **options)
        self.tokens += tokens_of(generation)
        return generation

    def batch(self, prompts: Iterable[Any], **options: Any) -> Iterator[Generation]:  # noqa: ANN401 - as above
        """See `AutoGLM.batch`."""
        for generation in self._engine.batch(prompts, **options):
            self.tokens += tokens_of(generation)
            yield generation

    def count_tokens(self, text: str) -> int:
        """See `AutoGLM.count_tokens`."""
        return self._engine.count_tokens(text)

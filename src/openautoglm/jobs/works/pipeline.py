"""Rows through a pipeline, each in its caller's thread, so that the engine sees many at a time.

Owns `PipelineWork`. Knows nothing of what the steps do.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, final

import msgspec

import openautoglm
from openautoglm.engine.sampling import SamplingParams
from openautoglm.errors import InvalidParameterError
from openautoglm.jobs.work import Answer
from openautoglm.jobs.works.digest import of_model, of_prompts, of_value
from openautoglm.jobs.works.models import CountedEngine, load_engine
from openautoglm.jobs.works.providers import of_backend, of_steps
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.spec import REQUIRED
from openautoglm.pipeline.steps.render import Render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.data.source import Row
    from openautoglm.jobs.spec import JobSpec
    from openautoglm.pipeline.step import Step


@final
class PipelineIntent:
    """What a pipeline wants of a row: its inputs.

    Raises:
        PipelineSyntaxError: the text is no pipeline.
        PipelineGraphError: it cannot run.
        InvalidParameterError: a sampling parameter cannot be.
    """

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        text = spec.pipeline or ""
        loaded = Pipeline.from_yaml(text) if "\n" in text else Pipeline.load(text)
        self.pipeline = with_sampling(loaded, spec.sampling)

    def inputs(self) -> tuple[str, ...]:
        """Return the inputs without a default that no setting fills."""
        return tuple(
            name
            for name, wanted in self.pipeline.spec.inputs.items()
            if wanted.default is REQUIRED and name not in self.spec.settings
        )

    def takes(self) -> tuple[str, ...]:
        """Return all inputs."""
        return tuple(self.pipeline.spec.inputs)

    def outputs(self) -> tuple[str, ...]:
        """Return the pipeline's outputs."""
        return tuple(self.pipeline.spec.outputs)

    def fingerprint(self) -> Mapping[str, str]:
        """Return the digests of the pipeline, its settings, its model, and who made its steps."""
        parts = {
            "pipeline": of_value(self.pipeline.to_yaml()),
            "settings": of_value(self.spec.settings),
            "steps": f"openautoglm {openautoglm.__version__}",
            **of_prompts(self.spec),
            **of_steps(self.pipeline),
        }
        if needs_model(self.pipeline):
            parts["model"] = of_model(self.spec)
            parts["options"] = of_value(self.spec.options)
            parts |= of_backend(self.spec.backend)
        return parts

    def open(self) -> PipelineWork:
        """Load the model where a step can ask for it; errors as `AutoGLM`."""
        return PipelineWork(self)


@final
class PipelineWork:
    """Run a pipeline once for each row."""

    def __init__(self, intent: PipelineIntent) -> None:
        self._intent = intent
        self._pipeline = intent.pipeline
        self._names = frozenset(intent.takes())
        self._settings = intent.spec.settings
        self._engine = load_engine(intent.spec) if needs_model(intent.pipeline) else None

    def inputs(self) -> tuple[str, ...]:
        """See `PipelineIntent.inputs`."""
        return self._intent.inputs()

    def fingerprint(self) -> Mapping[str, str]:
        """See `PipelineIntent.fingerprint`."""
        return self._intent.fingerprint()

    def answer(self, values: Row) -> Answer:
        """Run the pipeline.

        Raises:
            StepError: a step failed; its cause is the step's own error.
        """
        given: dict[str, Any] = {
            **self._settings,
            **{n: v for n, v in values.items() if n in self._names},
        }
        engine = None if self._engine is None else CountedEngine(self._engine)
        result = self._pipeline.run(engine=engine, **given)
        return Answer(outputs=result.outputs, tokens=0 if engine is None else engine.tokens)

    def close(self) -> None:
        """Give back the model."""
        if self._engine is not None:
            self._engine.close()


def needs_model(pipeline: Pipeline) -> bool:
    """Whether a step of a pipeline can reach the model."""
    return any(_may_ask(component.step) for component in pipeline.spec.components.values())


def _may_ask(step: Step) -> bool:
    return "context" in inspect.signature(step.run).parameters and not isinstance(step, Render)


def with_sampling(pipeline: Pipeline, sampling: Mapping[str, object]) -> Pipeline:
    """Return a pipeline with sampling parameters in every step that generates.

    Raises:
        InvalidParameterError: a name is unknown, or a value cannot be.
    """
    from openautoglm.pipeline.steps.generate import Generate

    SamplingParams().override(sampling)
    if not sampling:
        return pipeline
    components = dict(pipeline.spec.components)
    for name, component in components.items():
        if isinstance(component.step, Generate):
            fields = {**msgspec.to_builtins(component.step), **sampling}
            components[name] = replace(component, step=_converted(fields, Generate))
    return Pipeline.from_spec(replace(pipeline.spec, components=MappingProxyType(components)))


def _converted(fields: Mapping[str, object], kind: type[Step]) -> Step:
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as cause:
        raise InvalidParameterError(
            f"`sampling`: {cause}", fix="give a value of that type"
        ) from cause

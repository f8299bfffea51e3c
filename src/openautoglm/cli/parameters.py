"""`--set NAME=VALUE`: parameters of a pipeline's components, and its inputs, typed as in YAML.

Owns the reading of such a setting and putting it into a pipeline. Knows nothing of any step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from openautoglm.errors import InvalidParameterError, OpenAutoGLMError
from openautoglm.pipeline.graph import Pipeline
from openautoglm.pipeline.nodes import read_nodes
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from openautoglm.engine.generation import Json
    from openautoglm.pipeline.spec import PipelineSpec
    from openautoglm.pipeline.step import Step

EXAMPLE = "write --set component.parameter=value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One `--set`: `component` is None when it is an input of the pipeline."""

    component: str | None
    name: str
    value: Json


def read_setting(text: str) -> Setting:
    """Read `component.parameter=value` or `input=value`.

    Raises:
        InvalidParameterError: it is neither.
        PipelineSyntaxError: the value is no YAML.

    Example:
        >>> read_setting("clean.html=false")
        Setting(component='clean', name='html', value=False)
    """
    key, equals, raw = text.partition("=")
    parts = key.split(".")
    if not equals or not all(parts) or len(parts) > len(("component", "parameter")):
        raise InvalidParameterError("`--set` cannot be read", got=text, fix=EXAMPLE)
    value = read_nodes(raw, name=f"--set {key}").plain()
    return Setting(component=parts[0] if parts[1:] else None, name=parts[-1], value=value)


def read_options(texts: Iterable[str]) -> dict[str, Json]:
    """Read `--option name=value`, each value typed as in YAML.

    Raises:
        InvalidParameterError: one that cannot be read, or is given by an option of its own.

    Example:
        >>> read_options(["timeout_s=30"])
        {'timeout_s': 30}
    """
    found: dict[str, Json] = {}
    for text in texts:
        name, equals, raw = text.partition("=")
        if not equals or not name.isidentifier() or name in {"model_path", "backend"}:
            raise InvalidParameterError(
                "`--option` cannot be read", got=text, fix="write --option name=value"
            )
        found[name] = read_nodes(raw, name=f"--option {name}").plain()
    return found


def with_adapter(options: Mapping[str, Json], adapter: str | None) -> dict[str, Json]:
    """Return the options that load the adapter of `--adapter` too, which is called by its folder.

    Raises:
        InvalidParameterError: the options have adapters already.
    """
    if adapter is None:
        return dict(options)
    if "adapters" in options:
        raise InvalidParameterError(
            "`--adapter` and `--option adapters` are both given",
            got=f"--adapter {adapter}, --option adapters={options['adapters']}",
            fix="leave out `--option adapters`: the model answers with one adapter",
        )
    return {**options, "adapters": {adapter: adapter}}


def apply_settings(pipeline: Pipeline, texts: Iterable[str]) -> tuple[Pipeline, Mapping[str, Json]]:
    """Return the pipeline with its parameters set, and the inputs that are the same for all.

    Raises:
        InvalidParameterError: a setting that cannot be read, a name that is not there, a value
            that the step refuses.
        PipelineSyntaxError: a value that is no YAML.
    """
    inputs: dict[str, Json] = {}
    components = dict(pipeline.spec.components)
    for setting in map(read_setting, texts):
        _check_known(pipeline.spec, setting)
        if setting.component is None:
            inputs[setting.name] = setting.value
        else:
            component = components[setting.component]
            where = f"--set {setting.component}.{setting.name}"
            step = _with_fields(component.step, {setting.name: setting.value}, where)
            components[setting.component] = replace(component, step=step)
    spec = replace(pipeline.spec, components=MappingProxyType(components))
    return Pipeline.from_spec(spec), inputs


def _check_known(spec: PipelineSpec, setting: Setting) -> None:
    if setting.component is not None:
        if setting.component not in spec.components:
            raise _unknown("component", setting.component, tuple(spec.components), spec.name)
        known = spec.components[setting.component].step.__struct_fields__
        if setting.name not in known:
            raise _unknown("parameter", setting.name, known, setting.component)
    elif setting.name not in spec.inputs:
        raise _unknown("input", setting.name, tuple(spec.inputs), spec.name)


def _unknown(noun: str, name: str, known: tuple[str, ...], owner: str) -> InvalidParameterError:
    return InvalidParameterError(
        f"`--set`: `{owner}` has no {noun} `{name}`",
        got=f"known: {', '.join(known) or 'none'}",
        fix=suggest(name, known) or EXAMPLE,
    )


def with_sampling(pipeline: Pipeline, sampling: Mapping[str, float]) -> Pipeline:
    """Return the pipeline with sampling parameters in every step that generates.

    Raises:
        InvalidParameterError: a value outside its range.
    """
    from openautoglm.pipeline.steps.generate import Generate

    components = dict(pipeline.spec.components)
    for name, component in components.items():
        if isinstance(component.step, Generate):
            step = _with_fields(component.step, sampling, f"component `{name}`")
            components[name] = replace(component, step=step)
    spec = replace(pipeline.spec, components=MappingProxyType(components))
    return Pipeline.from_spec(spec)


def _with_fields(step: Step, changes: Mapping[str, Json], where: str) -> Step:
    import msgspec

    try:
        return msgspec.convert({**msgspec.to_builtins(step), **changes}, type(step))
    except msgspec.ValidationError as cause:
        ours = cause.__cause__
        if isinstance(ours, OpenAutoGLMError):
            raise ours from cause
        raise InvalidParameterError(
            f"{where}: {cause}", got=dict(changes), fix="give a value of that type"
        ) from cause

"""A `PipelineSpec` to the YAML that the loader reads back as an equal one.

Knows nothing of checking or execution.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, final

import msgspec
import yaml

from openautoglm.errors import PipelineGraphError
from openautoglm.pipeline.nodes import WORDS
from openautoglm.pipeline.spec import REQUIRED, Component, Input, PipelineSpec

if TYPE_CHECKING:
    from openautoglm.pipeline.step import Step
    from openautoglm.registry import Registry

PLAIN: Final = re.compile(r"[A-Za-z_][\w./-]*", re.ASCII)


@final
class _Dumper(yaml.SafeDumper):
    """Quotes every text that is not a plain word and writes no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        """Write a value as often as it is used."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = PLAIN.fullmatch(text) and text not in WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def dump(spec: PipelineSpec, steps: Registry[type[Step]]) -> str:
    """Return the YAML of a pipeline.

    Raises:
        PipelineGraphError: a step that the registry does not hold.
    """
    names = {steps.get(name): name for name in steps.names()}
    file: dict[str, object] = {"name": spec.name}
    if spec.description:
        file["description"] = spec.description
    file["version"] = spec.version
    file["inputs"] = {name: _input(given) for name, given in spec.inputs.items()}
    file["components"] = {
        name: _component(name, component, names) for name, component in spec.components.items()
    }
    file["connections"] = [
        {"sender": wire.sender, "receiver": wire.receiver} for wire in spec.connections
    ]
    file["outputs"] = dict(spec.outputs)
    if spec.offsets is not None:
        file["offsets"] = {"sender": spec.offsets.sender, "text": spec.offsets.text}
    return yaml.dump(file, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=100)


def _input(given: Input) -> dict[str, object]:
    found: dict[str, object] = {"to": list(given.to)}
    if given.description:
        found["description"] = given.description
    if given.default is not REQUIRED:
        found["default"] = given.default
    return found


def _component(name: str, component: Component, names: dict[type[Step], str]) -> dict[str, object]:
    kind = type(component.step)
    if kind not in names:
        raise PipelineGraphError(
            f"the step `{name}` cannot be written to a file",
            got=f"{kind.__name__} is not in STEPS",
            fix='add it inside `with owned_by("plugin-id"):`',
        )
    found: dict[str, object] = {"type": names[kind]}
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind)}
    params = {
        field: msgspec.to_builtins(value)
        for field in kind.__struct_fields__
        if (value := getattr(component.step, field)) != defaults[field]
    }
    if params:
        found["params"] = params
    if component.each:
        found["each"] = list(component.each)
    return found

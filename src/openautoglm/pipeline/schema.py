"""The JSON schema of a pipeline file, made from the steps there are.

For editors and for whoever writes YAML by machine; the loader checks more and says it better. Knows
nothing of graphs.
"""

from __future__ import annotations

from typing import Final

import msgspec

from openautoglm.pipeline.catalog import STEPS
from openautoglm.pipeline.wiring import NAME

TEXTS: Final = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
SOCKET: Final = {"type": "string", "pattern": "^[^.]+\\.[^.]+$"}


def pipeline_schema(*, owner: str | None = None) -> dict[str, object]:
    """Return the schema (2020-12) of a file that names steps of `STEPS`.

    Args:
        owner: only the steps of this owner; None is everybody's.

    Example:
        >>> pipeline_schema()["required"]
        ['name', 'inputs', 'components', 'outputs']
    """
    steps = {
        entry.name: entry.value
        for entry in map(STEPS.entry, STEPS.names())
        if owner in {None, entry.owner}
    }
    params, definitions = msgspec.json.schema_components(
        list(steps.values()), ref_template="#/$defs/{name}"
    )
    definitions = msgspec.json.decode(msgspec.json.encode(definitions))  # defaults may be tuples
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Open-AutoGLM pipeline",
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "description": {"type": "string"},
            "version": {"type": "string"},
            "inputs": _named({"$ref": "#/$defs/Input"}),
            "components": _named(
                {"oneOf": [_component(n, p) for n, p in zip(steps, params, strict=True)]}
            ),
            "connections": {"type": "array", "items": _exactly(sender=SOCKET, receiver=SOCKET)},
            "outputs": {**_named(SOCKET), "minProperties": 1},
            "offsets": _exactly(sender=SOCKET, text=SOCKET),
        },
        "required": ["name", "inputs", "components", "outputs"],
        "additionalProperties": False,
        "$defs": {"Input": _INPUT, **definitions},
    }


def _named(value: object) -> dict[str, object]:
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME.pattern}$"},
        "additionalProperties": value,
    }


def _exactly(**properties: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _component(name: str, params: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": {"type": {"const": name}, "params": params, "each": TEXTS},
        "required": ["type"],
        "additionalProperties": False,
    }


_INPUT: Final = {
    "type": "object",
    "properties": {"to": TEXTS, "description": {"type": "string"}, "default": {}},
    "required": ["to"],
    "additionalProperties": False,
}


if __name__ == "__main__":
    import json
    import sys

    from openautoglm.registry import CORE_OWNER

    sys.stdout.write(json.dumps(pipeline_schema(owner=CORE_OWNER), indent=2) + "\n")

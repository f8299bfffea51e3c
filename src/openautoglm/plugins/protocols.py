"""The extension points as data: what a contribution implements, and what it is handed.

Owns `describe_points` and the rule which changes need a new contract number. The description is
frozen in `spec/extension-points.json`; `python -m openautoglm.plugins.protocols FILE` writes it
anew, and refuses a change that would break contributions under the same number. It does not see
what a method means.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, cast

import msgspec

from openautoglm.plugins.points import POINTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Parameter(TypedDict):
    """A parameter of a method."""

    name: str
    kind: str
    required: bool


class Method(TypedDict):
    """A method that contributions implement; an optional one they may leave out."""

    name: str
    optional: bool
    parameters: list[Parameter]


class Field(TypedDict):
    """A field of a value that contributions are handed or make."""

    name: str
    required: bool


class Described(TypedDict):
    """One extension point."""

    contract: int
    levels: list[str]
    methods: list[Method]
    values: dict[str, list[Field]]
    wire: dict[str, dict[str, bool]]


_BACKEND: Final = "openautoglm.engine.backend"
_DATA: Final = "openautoglm.data"
_STEP: Final = "openautoglm.pipeline.step"
_OPS: Final = "openautoglm.ops"
_OPERATOR: Final[Mapping[str, Sequence[str]]] = {
    "forward": (),
    "backward": (),
    "infer": ("specs", "attrs"),
}
"""Methods of an operator, with the parameters that are not the operator's own."""

OPTIONAL: Final[Mapping[str, Sequence[str]]] = {
    "step": (f"{_STEP}:BatchStep", f"{_STEP}:VariableInputs"),
}
"""Protocols a contribution may keep beside that of its point."""

VALUES: Final[Mapping[str, Sequence[str]]] = {
    "operator": (f"{_OPS}:In", f"{_OPS}:Out", f"{_OPS}:Attr", f"{_OPS}:ArraySpec"),
    "kernel": (f"{_OPS}:Kernel", f"{_OPS}:Capability"),
    "backend": (
        f"{_BACKEND}:BackendEntry",
        f"{_BACKEND}:LoadSpec",
        f"{_BACKEND}:ModelInfo",
        f"{_BACKEND}:Request",
        "openautoglm.engine.sampling:SamplingParams",
        "openautoglm.engine.generation:Generation",
        "openautoglm.engine.generation:Timings",
    ),
    "source": tuple(
        f"{_DATA}:{name}" for name in ("Column", "Description", "Location", "Record", "Shard")
    ),
    "sink": tuple(f"{_DATA}:{name}" for name in ("Location", "Part", "Receipt")),
    "driver": ("openautoglm.platform_io:Facts",),
}
"""What contributions to a point are handed, or make."""

ADDED: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {"driver": {"refuses": ("facts",)}}
"""Static methods a contribution has beside the protocol of its point."""

OPENERS: Final[Mapping[str, Sequence[str]]] = {
    "source": ("location",),
    "sink": ("location", "part"),
    "backend": ("spec",),
}
"""What a contribution is called with to make what keeps the protocol."""


def describe_points() -> dict[str, Described]:
    """Return every extension point as plain data, by name.

    Example:
        >>> [method["name"] for method in describe_points()["sink"]["methods"]]
        ['(call)', 'abort', 'commit', 'committed', 'write']
    """
    return {name: _described(name) for name in POINTS.names()}


def broken(old: Described, new: Described) -> list[str]:
    """Return what changed from one description to another that contributions would notice.

    Fields that are added with a default break nobody; neither do levels.

    Example:
        >>> point = describe_points()["sink"]
        >>> broken(point, {**point, "methods": []})[0]
        'method `(call)` is gone'
    """
    found = _changed_methods(old, new)
    for name, fields in old["values"].items():
        now = {field["name"]: field for field in new["values"].get(name, [])}
        before = {field["name"]: field for field in fields}
        found += [f"`{name}.{field}` is gone" for field in before if field not in now]
        for field, said in now.items():
            if said["required"] and not before.get(field, said | {"required": False})["required"]:
                found.append(f"`{name}.{field}` must be given")
    for method in old["wire"]:
        if new["wire"].get(method) != old["wire"][method]:
            found.append(f"the servant's `{method}` changed")
    return found


def _changed_methods(old: Described, new: Described) -> list[str]:
    now = {method["name"]: method for method in new["methods"]}
    before = {method["name"]: method for method in old["methods"]}
    found = [f"method `{name}` is gone" for name in before if name not in now]
    for name, method in now.items():
        known = before.get(name)
        if known is None and not method["optional"]:
            found.append(f"method `{name}` must be there")
        elif known is not None and known != method:
            found.append(f"method `{name}` has other parameters")
    return found


def refused(old: Mapping[str, Described], new: Mapping[str, Described]) -> list[str]:
    """Return the breaking changes for which no contract number was raised, as sentences."""
    found = []
    for name, point in old.items():
        if name not in new:
            found.append(f"{name}: the point is gone")
        elif new[name]["contract"] <= point["contract"]:
            found += [f"{name}: {change}" for change in broken(point, new[name])]
    return found


def _described(name: str) -> Described:
    point = POINTS.get(name)
    protocol = cast("type", point.load("protocol"))
    methods = _methods_of(protocol, name, optional=False)
    for where in OPTIONAL.get(name, ()):
        methods += _methods_of(cast("type", _loaded(where)), name, optional=True)
    for added, names in ADDED.get(name, {}).items():
        parameters = [_parameter(parameter) for parameter in names]
        methods.append(Method(name=added, optional=False, parameters=parameters))
    if name in OPENERS:
        methods.insert(0, _opener(OPENERS[name]))
    return Described(
        contract=point.contract,
        levels=list(point.levels),
        methods=methods,
        values={where.partition(":")[2]: _fields(_loaded(where)) for where in VALUES.get(name, ())},
        wire={
            method: {"idempotent": spec.idempotent, "stream": spec.stream}
            for method, spec in sorted(point.methods.items())
        },
    )


def _methods_of(protocol: type, point: str, *, optional: bool) -> list[Method]:
    if point == "operator":
        return [
            Method(name=n, optional=n != "forward", parameters=[_parameter(p) for p in names])
            for n, names in sorted(_OPERATOR.items())
        ]
    if point in {"kernel", "task"}:  # values, not protocols
        return []
    own = {n: v for n, v in vars(protocol).items() if inspect.isfunction(v)}
    return [
        Method(name=name, optional=optional, parameters=_parameters(own[name]))
        for name in sorted(own)
        if not name.startswith("_")
    ]


def _parameters(function: object) -> list[Parameter]:
    signature = inspect.signature(cast("type", function))
    return [
        Parameter(
            name=name,
            kind=parameter.kind.description,
            required=parameter.default is parameter.empty,
        )
        for name, parameter in signature.parameters.items()
        if name != "self"
        and parameter.kind not in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}
    ]


def _parameter(name: str) -> Parameter:
    return Parameter(name=name, kind="positional or keyword", required=True)


def _opener(names: Sequence[str]) -> Method:
    return Method(name="(call)", optional=False, parameters=[_parameter(name) for name in names])


def _fields(value: object) -> list[Field]:
    if isinstance(value, type) and issubclass(value, msgspec.Struct):
        return [Field(name=f.name, required=f.required) for f in msgspec.structs.fields(value)]
    return [
        Field(
            name=field.name,
            required=field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING,
        )
        for field in dataclasses.fields(cast("type", value))
    ]


def _loaded(where: str) -> object:
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)


def _main(path: Path) -> int:
    new = describe_points()
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    changes = refused(old, new)
    for change in changes:
        sys.stderr.write(f"{change}: raise `contract` in plugins/points.py\n")
    if changes:
        return 1
    path.write_text(json.dumps(new, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(_main(Path(sys.argv[1])))

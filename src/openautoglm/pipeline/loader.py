"""A YAML file to a `PipelineSpec`, with every complaint at its line.

Owns the sections of the file and their keys. Knows nothing of graphs or execution.
"""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Final, NoReturn

import msgspec

from openautoglm.errors import (
    InputNotFoundError,
    OpenAutoGLMError,
    PipelineSyntaxError,
    UnknownNameError,
)
from openautoglm.pipeline.complaints import first_named, read_complaint, read_path
from openautoglm.pipeline.nodes import Node, read_nodes
from openautoglm.pipeline.spec import (
    REQUIRED,
    Component,
    Connection,
    Input,
    Offsets,
    Path,
    PipelineSpec,
)
from openautoglm.registry import suggest

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from openautoglm.pipeline.step import Step
    from openautoglm.registry import Registry

MAX_BYTES: Final = 1_000_000
SECTIONS: Final = (
    "name", "description", "version", "inputs", "components", "connections", "outputs", "offsets",
)  # fmt: skip
INSIDE: Final = re.compile(r"`\$(?P<path>[^`]*)`")  # where in a JSON schema
SHAPES: Final = {
    "a mapping": "write `key: value` below it, or {key: value}",
    "a list": "write `- item` below it, or [item, item]",
    "a text": "write a text; put a number in quotes to make it one",
    "a text or a list of texts": "write a text; put a number in quotes to make it one",
}


def read_source(source: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the YAML text and the name it has in messages.

    Raises:
        InputNotFoundError: a path to nothing that can be read.
        PipelineSyntaxError: more than 1 MB, or not UTF-8.
    """
    if isinstance(source, str) and ("\n" in source or not source.endswith((".yaml", ".yml"))):
        _check_size(len(source.encode("utf-8", "surrogatepass")), "<text>")
        return source, "<text>"
    path = FilePath(source)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as cause:
        raise InputNotFoundError(
            f"the pipeline file `{path}` cannot be opened",
            got=getattr(cause, "strerror", None) or str(cause),
            fix="check the path; `oag pipeline list` shows the tasks that come with the package",
        ) from cause
    _check_size(len(raw), str(path))
    try:
        return raw.decode("utf-8-sig"), str(path)
    except UnicodeDecodeError as cause:
        raise PipelineSyntaxError(
            f"{path}: this is not UTF-8",
            got=f"byte {raw[cause.start]:#04x} at offset {cause.start}",
            fix="save the file as UTF-8",
        ) from cause


def _check_size(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise PipelineSyntaxError(
            f"{name}: more than {MAX_BYTES} bytes",
            fix="a pipeline file holds steps; pass texts and tables as inputs",
        )


def load_spec(text: str, *, name: str, steps: Registry[type[Step]]) -> PipelineSpec:
    """Read a pipeline. Whether its graph can run is for `wiring` to say.

    Raises:
        PipelineSyntaxError: names file, line, the thing and the fix.
    """
    return spec_of(read_nodes(text, name=name), name=name, steps=steps)


def spec_of(root: Node, *, name: str, steps: Registry[type[Step]]) -> PipelineSpec:
    """Read a pipeline that stands in another file, below `root`; errors as `load_spec`."""
    return _Loader(root, name, steps).spec()


class _Loader:
    def __init__(self, root: Node, name: str, steps: Registry[type[Step]]) -> None:
        self._root = root
        self._name = name
        self._steps = steps

    def spec(self) -> PipelineSpec:
        if not isinstance(self._root.value, dict):
            self._refuse(
                (),
                "a pipeline is a mapping of sections",
                got=self._root.described(),
                fix=f"write the sections {', '.join(SECTIONS)}; a path must end in .yaml",
            )
        self._keys((), SECTIONS, must=("name", "components", "inputs", "outputs"))
        components = self._mapping(("components",))
        return PipelineSpec(
            name=self._text(("name",)),
            description=self._text(("description",), default=""),
            version=self._text(("version",), default="1"),
            components={key: self._component(key) for key in components},
            connections=self._connections(),
            inputs={key: self._input(key) for key in self._mapping(("inputs",))},
            outputs={key: self._text(("outputs", key)) for key in self._mapping(("outputs",))},
            offsets=self._offsets(),
            locate=self._locate,
        )

    def _component(self, name: str) -> Component:
        path: Path = ("components", name)
        self._keys(path, ("type", "params", "each"), must=("type",))
        step = self._step_type(self._text((*path, "type")), (*path, "type"))
        each = self._texts((*path, "each")) if self._has((*path, "each")) else ()
        return Component(step=self._step(step, (*path, "params")), each=each)

    def _step_type(self, name: str, path: Path) -> type[Step]:
        try:
            return self._steps.get(name)
        except UnknownNameError as unknown:
            self._refuse(path, unknown.problem, got=unknown.got, fix=unknown.fix)

    def _step(self, step: type[Step], path: Path) -> Step:
        params = self._mapping(path) if self._has(path) else {}
        known = step.__struct_encode_fields__
        for key in params:
            if key not in known:
                self._refuse(
                    (*path, key),
                    f"this step has no parameter `{key}`",
                    got=f"parameters: {', '.join(known) or 'none'}",
                    fix=suggest(key, known) or "remove it",
                    key=True,
                )
        try:
            return msgspec.convert({k: node.plain() for k, node in params.items()}, type=step)
        except msgspec.ValidationError as cause:
            self._refuse_params(cause, path, step)

    def _refuse_params(
        self, error: msgspec.ValidationError, path: Path, step: type[Step]
    ) -> NoReturn:
        """Turn msgspec's "Expected `int`, got `str` - at `$.a[0]`" into a line of the file."""
        told = read_complaint(error, step)
        ours = error.__cause__
        if isinstance(ours, OpenAutoGLMError):
            place = (*path, *(told.path or self._named(path, ours.problem)))
            self._refuse(place, ours.problem, got=ours.got, fix=ours.fix, cause=error)
        what = ".".join(map(str, told.path)) or "params"
        problem = f"`{what}`: {told.problem}"
        self._refuse((*path, *told.path), problem, fix=told.fix, cause=error)

    def _named(self, path: Path, problem: str) -> Path:
        """Return the path below `path` to the parameter that a message is about."""
        params = self._mapping(path) if self._has(path) else {}
        inside = INSIDE.search(problem)
        if inside and "schema" in params:
            return ("schema", *read_path(inside["path"]))
        lone = next(iter(params)) if len(params) == 1 else None
        name = first_named(problem, params) or lone
        return () if name is None else (name,)

    def _connections(self) -> tuple[Connection, ...]:
        if not self._has(("connections",)):
            return ()
        found = []
        for index in range(len(self._list(("connections",)))):
            path: Path = ("connections", index)
            self._keys(path, ("sender", "receiver"), must=("sender", "receiver"))
            sender, receiver = (self._text((*path, end)) for end in ("sender", "receiver"))
            found.append(Connection(sender=sender, receiver=receiver))
        return tuple(found)

    def _input(self, name: str) -> Input:
        path: Path = ("inputs", name)
        self._keys(path, ("to", "description", "default"), must=("to",))
        default = (*path, "default")
        return Input(
            to=self._texts((*path, "to")),
            description=self._text((*path, "description"), default=""),
            default=self._root.at(default).plain() if self._has(default) else REQUIRED,
        )

    def _offsets(self) -> Offsets | None:
        if not self._has(("offsets",)):
            return None
        self._keys(("offsets",), ("sender", "text"), must=("sender", "text"))
        return Offsets(
            sender=self._text(("offsets", "sender")), text=self._text(("offsets", "text"))
        )

    def _keys(self, path: Path, known: tuple[str, ...], *, must: tuple[str, ...]) -> None:
        found = self._mapping(path)
        where = f"`{path[-1]}`" if path and isinstance(path[-1], str) else "this"
        where = "a pipeline" if not path else where
        for key in found:
            if key not in known:
                self._refuse(
                    (*path, key),
                    f"{where} has no key `{key}`",
                    got=f"keys: {', '.join(known)}",
                    fix=suggest(key, known) or "remove it",
                    key=True,
                )
        for key in must:
            if key not in found:
                self._refuse(path, f"{where} needs the key `{key}`", fix=f"add `{key}: …`")

    def _has(self, path: Path) -> bool:
        inner = self._root.at(path[:-1]).value
        return isinstance(inner, dict) and path[-1] in inner

    def _mapping(self, path: Path) -> Mapping[str, Node]:
        value = self._root.at(path).value
        return value if isinstance(value, dict) else self._wrong(path, "a mapping")

    def _list(self, path: Path) -> list[Node]:
        value = self._root.at(path).value
        return value if isinstance(value, list) else self._wrong(path, "a list")

    def _text(self, path: Path, *, default: str | None = None) -> str:
        if default is not None and not self._has(path):
            return default
        value = self._root.at(path).value
        return value if isinstance(value, str) else self._wrong(path, "a text")

    def _texts(self, path: Path) -> tuple[str, ...]:
        node = self._root.at(path)
        if isinstance(node.value, list):
            return tuple(self._text((*path, index)) for index in range(len(node.value)))
        if isinstance(node.value, str):
            return (node.value,)
        return self._wrong(path, "a text or a list of texts")

    def _wrong(self, path: Path, expected: str) -> NoReturn:
        what = ".".join(map(str, path))
        self._refuse(
            path,
            f"`{what}` must be {expected}",
            got=self._root.at(path).described(),
            fix=SHAPES[expected],
        )

    def _locate(self, path: Path, *, key: bool = False) -> str:
        """Name the place of a value; of its key when that is meant or the value has many lines."""
        node = self._root.at(path)
        line, column = node.line, node.column
        if path and (key or isinstance(node.value, (dict, list))):
            line, column = self._root.at(path[:-1]).keys.get(str(path[-1]), (line, column))
        return f"{self._name}:{line}:{column}"

    def _refuse(
        self,
        path: Path,
        problem: str,
        *,
        got: object = None,
        fix: str | None = None,
        cause: Exception | None = None,
        key: bool = False,
    ) -> NoReturn:
        place = self._locate(path, key=key)
        raise PipelineSyntaxError(f"{place}: {problem}", got=got, fix=fix) from cause

"""A YAML file to a `PipelineSpec`, with every complaint at its line.

Owns the sections of the file and their keys. Knows nothing of graphs or execution.
"""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Final

from openautoglm.errors import InputNotFoundError, PipelineSyntaxError, UnknownNameError
from openautoglm.pipeline.complaints import first_named, read_path
from openautoglm.pipeline.document import Document
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

if TYPE_CHECKING:
    import os

    from openautoglm.pipeline.step import Step
    from openautoglm.registry import Registry

MAX_BYTES: Final = 1_000_000
SECTIONS: Final = (
    "name", "description", "version", "inputs", "components", "connections", "outputs", "offsets",
)  # fmt: skip
INSIDE: Final = re.compile(r"`\$(?P<path>[^`]*)`")  # where in a JSON schema


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
    return _Loader(Document(root, name, PipelineSyntaxError, _owner), steps).spec()


class _Loader:
    def __init__(self, file: Document, steps: Registry[type[Step]]) -> None:
        self._file = file
        self._steps = steps

    def spec(self) -> PipelineSpec:
        if not isinstance(self._file.root.value, dict):
            self._file.refuse(
                (),
                "a pipeline is a mapping of sections",
                got=self._file.root.described(),
                fix=f"write the sections {', '.join(SECTIONS)}; a path must end in .yaml",
            )
        self._file.check_keys((), SECTIONS, must=("name", "components", "inputs", "outputs"))
        components = self._file.mapping(("components",))
        return PipelineSpec(
            name=self._file.text(("name",)),
            description=self._file.text(("description",), default=""),
            version=self._file.text(("version",), default="1"),
            components={key: self._component(key) for key in components},
            connections=self._connections(),
            inputs={key: self._input(key) for key in self._file.mapping(("inputs",))},
            outputs={
                key: self._file.text(("outputs", key)) for key in self._file.mapping(("outputs",))
            },
            offsets=self._offsets(),
            locate=self._file.place,
        )

    def _component(self, name: str) -> Component:
        path: Path = ("components", name)
        self._file.check_keys(path, ("type", "params", "each"), must=("type",))
        step = self._step_type(self._file.text((*path, "type")), (*path, "type"))
        each = self._file.texts((*path, "each")) if self._file.has((*path, "each")) else ()
        return Component(step=self._step(step, (*path, "params")), each=each)

    def _step_type(self, name: str, path: Path) -> type[Step]:
        try:
            return self._steps.get(name)
        except UnknownNameError as unknown:
            self._file.refuse(path, unknown.problem, got=unknown.got, fix=unknown.fix)

    def _step(self, step: type[Step], path: Path) -> Step:
        params = self._file.mapping(path) if self._file.has(path) else {}
        known = step.__struct_encode_fields__
        for key in params:
            if key not in known:
                problem = f"this step has no parameter `{key}`"
                self._file.refuse_key((*path, key), problem, known, "parameters")
        plain = {key: node.plain() for key, node in params.items()}
        return self._file.convert(
            path,
            plain,
            step,
            called=lambda inner: f"`{'.'.join(map(str, inner)) or 'params'}`",
            meant=lambda error: self._named(path, error.problem),
        )

    def _named(self, path: Path, problem: str) -> Path:
        """Return the path below `path` to the parameter that a message is about."""
        params = self._file.mapping(path) if self._file.has(path) else {}
        inside = INSIDE.search(problem)
        if inside and "schema" in params:
            return ("schema", *read_path(inside["path"]))
        lone = next(iter(params)) if len(params) == 1 else None
        name = first_named(problem, params) or lone
        return () if name is None else (name,)

    def _connections(self) -> tuple[Connection, ...]:
        if not self._file.has(("connections",)):
            return ()
        found = []
        for index in range(len(self._file.items(("connections",)))):
            path: Path = ("connections", index)
            self._file.check_keys(path, ("sender", "receiver"), must=("sender", "receiver"))
            sender, receiver = (self._file.text((*path, end)) for end in ("sender", "receiver"))
            found.append(Connection(sender=sender, receiver=receiver))
        return tuple(found)

    def _input(self, name: str) -> Input:
        path: Path = ("inputs", name)
        self._file.check_keys(path, ("to", "description", "default"), must=("to",))
        default = (*path, "default")
        return Input(
            to=self._file.texts((*path, "to")),
            description=self._file.text((*path, "description"), default=""),
            default=self._file.root.at(default).plain() if self._file.has(default) else REQUIRED,
        )

    def _offsets(self) -> Offsets | None:
        if not self._file.has(("offsets",)):
            return None
        self._file.check_keys(("offsets",), ("sender", "text"), must=("sender", "text"))
        return Offsets(
            sender=self._file.text(("offsets", "sender")), text=self._file.text(("offsets", "text"))
        )


def _owner(path: Path) -> str:
    if not path:
        return "a pipeline"
    return f"`{path[-1]}`" if isinstance(path[-1], str) else "this"

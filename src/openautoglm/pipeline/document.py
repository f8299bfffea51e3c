"""One YAML document and its values by path: what is wrong is refused at its line.

Owns `Document`. Knows no kind of document: neither pipelines nor jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, cast, final

import msgspec
import msgspec.inspect

from openautoglm.errors import OpenAutoGLMError
from openautoglm.pipeline.complaints import first_named, read_complaint
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from openautoglm.pipeline.nodes import Node
    from openautoglm.pipeline.spec import Path

SHAPES: Final = {
    "a mapping": "write `key: value` below it, or {key: value}",
    "a list": "write `- item` below it, or [item, item]",
    "a text": "write a text; put a number in quotes to make it one",
    "a text or a list of texts": "write a text; put a number in quotes to make it one",
}

Described = TypeVar("Described", bound=msgspec.Struct)


def dotted(path: Path) -> str:
    """Name a value by the whole path to it.

    Example:
        >>> dotted(("spec", "budget", "rows")), dotted(())
        ('`spec.budget.rows`', 'the document')
    """
    return f"`{'.'.join(map(str, path))}`" if path else "the document"


@final
class Document:
    """Values of a document; complaints are errors of the class `error`, which may be set anew.

    Args:
        root: what was read.
        file: its name in messages.
        error: what is raised.
        owner: names the mapping at a path where a message is about its keys.
    """

    def __init__(
        self,
        root: Node,
        file: str,
        error: type[OpenAutoGLMError],
        owner: Callable[[Path], str] = dotted,
    ) -> None:
        self.error = error
        self.root = root
        self.file = file
        self._owner = owner

    def has(self, path: Path) -> bool:
        """Return whether something stands there, be it `null`."""
        inner = self.root.at(path[:-1]).value
        return isinstance(inner, dict) and path[-1] in inner

    def text(self, path: Path, *, default: str | None = None) -> str:
        """Return a text, or refuse what is none; with a default it may be missing."""
        if default is not None and not self.has(path):
            return default
        value = self.root.at(path).value
        return value if isinstance(value, str) else self._misshapen(path, "a text")

    def texts(self, path: Path) -> tuple[str, ...]:
        """Return the texts of a list, or the only one, or refuse what is neither."""
        value = self.root.at(path).value
        if isinstance(value, list):
            return tuple(self.text((*path, index)) for index in range(len(value)))
        if isinstance(value, str):
            return (value,)
        return self._misshapen(path, "a text or a list of texts")

    def mapping(self, path: Path) -> Mapping[str, Node]:
        """Return a mapping, or refuse what is none."""
        value = self.root.at(path).value
        return value if isinstance(value, dict) else self._misshapen(path, "a mapping")

    def items(self, path: Path) -> list[Node]:
        """Return a list, or refuse what is none."""
        value = self.root.at(path).value
        return value if isinstance(value, list) else self._misshapen(path, "a list")

    def check_keys(self, path: Path, known: tuple[str, ...], *, must: tuple[str, ...] = ()) -> None:
        """Refuse keys that nobody knows, and the lack of those that must be there."""
        what = self._owner(path)
        for key in self.mapping(path):
            if key not in known:
                self.refuse_key((*path, key), f"{what} has no key `{key}`", known, "keys")
        for key in must:
            if key not in self.mapping(path):
                self.refuse(path, f"{what} needs the key `{key}`", fix=f"add `{key}: …`")

    def check_fields(
        self,
        path: Path,
        kind: type[msgspec.Struct],
        *,
        elsewhere: tuple[str, ...] = (),
        apart: tuple[str, ...] = (),
    ) -> None:
        """Refuse keys below `path`, at any depth, that are no fields of a struct.

        Args:
            path: to the mapping.
            kind: the struct it will become.
            elsewhere: fields that do not stand there.
            apart: fields that are not looked into.
        """
        found = cast("msgspec.inspect.StructType", msgspec.inspect.type_info(kind))
        fields = {each.encode_name: each for each in found.fields}
        self.check_keys(path, tuple(name for name in fields if name not in elsewhere))
        for key, node in self.mapping(path).items():
            inner = None if key in apart else _struct_in(fields[key].type)
            if inner is not None and isinstance(node.value, dict):
                self.check_fields((*path, key), inner)

    def convert(
        self,
        path: Path,
        plain: object,
        kind: type[Described],
        *,
        called: Callable[[Path], str] | None = None,
        meant: Callable[[OpenAutoGLMError], Path] | None = None,
    ) -> Described:
        """Return a struct of plain values that stood below `path`.

        Args:
            path: to the values.
            plain: the values, with those that stand elsewhere.
            kind: of the struct.
            called: names what stands below `path`; None is by its whole path.
            meant: the path below `path` to what the struct's own error is about, where that says
                no place; None looks for a name of a value in the message.
        """
        try:
            return msgspec.convert(plain, kind)
        except msgspec.ValidationError as cause:
            told = read_complaint(cause, kind)
            ours = cause.__cause__
            if isinstance(ours, OpenAutoGLMError):
                inner = meant(ours) if meant and not told.path else told.path
                place = (*path, *inner) if inner or meant else self._named(path, ours)
                self.refuse(place, ours.problem, got=ours.got, fix=ours.fix, cause=cause)
            place = (*path, *told.path)
            what = called(told.path) if called else dotted(place)
            self.refuse(place, f"{what}: {told.problem}", fix=told.fix, cause=cause)

    def _named(self, path: Path, error: OpenAutoGLMError) -> Path:
        """Return the path to the value that an error names: in backticks, or as its first word."""
        known = self.mapping(path)
        quoted = first_named(error.problem, known)
        words = [quoted or "", error.problem.partition(":")[0], str(error.got).partition(" ")[0]]
        for word in words:
            if word == "name" and word not in known:
                return ("metadata", "name")
            first, *more = word.split(".")
            if first in known:
                return (*path, first, *more)
        return path

    def place(self, path: Path, *, key: bool = False) -> str:
        """Name the place of a value; of its key when that is meant or the value has many lines."""
        node = self.root.at(path)
        line, column = node.line, node.column
        if path and (key or isinstance(node.value, (dict, list))):
            line, column = self.root.at(path[:-1]).keys.get(str(path[-1]), (line, column))
        return f"{self.file}:{line}:{column}"

    def refuse(
        self,
        path: Path,
        problem: str,
        *,
        got: object = None,
        fix: str | None = None,
        cause: Exception | None = None,
    ) -> NoReturn:
        """Raise `error` at the place of a value."""
        raise self.error(f"{self.place(path)}: {problem}", got=got, fix=fix) from cause

    def refuse_key(self, path: Path, problem: str, known: tuple[str, ...], what: str) -> NoReturn:
        """Raise `error` at a key that is none of those known; `what` they are in the message."""
        raise self.error(
            f"{self.place(path, key=True)}: {problem}",
            got=f"{what}: {', '.join(known) or 'none'}",
            fix=suggest(str(path[-1]), known) or "remove it",
        )

    def _misshapen(self, path: Path, expected: str) -> NoReturn:
        got = self.root.at(path).described()
        self.refuse(path, f"{dotted(path)} must be {expected}", got=got, fix=SHAPES[expected])


def _struct_in(kind: msgspec.inspect.Type) -> type[msgspec.Struct] | None:
    """Return the struct a field holds, also where it may be null."""
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    found = (each.cls for each in kinds if isinstance(each, msgspec.inspect.StructType))
    return next(found, None)

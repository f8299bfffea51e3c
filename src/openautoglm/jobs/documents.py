"""One YAML document that describes something: its envelope and values, complaints at their lines.

Owns `Document` and the reading of files of documents. Knows no kind of document.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, cast, final

import msgspec
import msgspec.inspect

from openautoglm.errors import InputNotFoundError, JobSpecError, OpenAutoGLMError
from openautoglm.errors import PipelineSyntaxError as NoYamlError
from openautoglm.pipeline.complaints import first_named, read_complaint
from openautoglm.pipeline.nodes import read_documents
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from openautoglm.pipeline.nodes import Node
    from openautoglm.pipeline.spec import Path as Way

API_VERSION: Final = "openautoglm/v1"
ENVELOPE: Final = ("apiVersion", "kind", "metadata", "spec")
MAX_BYTES: Final = 1_000_000
STDIN: Final = "-"
SPEC: Final[Way] = ("spec",)

Described = TypeVar("Described", bound=msgspec.Struct)


def read_file(path: str) -> tuple[list[Document], Path]:
    """Read all documents of a file, `-` is standard input; return the folder of the file too.

    Raises:
        InputNotFoundError: it cannot be opened.
        JobSpecError: it is too large, no UTF-8, no YAML, or holds nothing.
    """
    name, folder = (path, Path(path).parent) if path != STDIN else ("<stdin>", Path())
    try:
        raw = _read(path)
    except OSError as cause:
        raise InputNotFoundError(
            f"the file `{path}` cannot be opened", got=cause.strerror, fix="check the path"
        ) from cause
    if len(raw) > MAX_BYTES:
        raise JobSpecError(f"{name}: more than {MAX_BYTES} bytes", fix="describe less in one file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise JobSpecError(
            f"{name}: this is not UTF-8",
            got=f"byte {raw[cause.start]:#04x} at offset {cause.start}",
            fix="save the file as UTF-8",
        ) from cause
    return documents_of(text, file=name), folder.absolute()


def _read(path: str) -> bytes:
    if path == STDIN:
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


def documents_of(text: str, *, file: str) -> list[Document]:
    """Read all documents of a text.

    Raises:
        JobSpecError: it is no YAML, or holds nothing.
    """
    try:
        nodes = read_documents(text, name=file)
    except NoYamlError as cause:
        raise JobSpecError(cause.problem, got=cause.got, fix=cause.fix) from cause
    if not nodes:
        raise JobSpecError(
            f"{file}: the file is empty", fix=f"begin with apiVersion: {API_VERSION}"
        )
    return [Document(node, file) for node in nodes]


@final
class Document:
    """A document whose kind is not known yet; complaints are of the class `error`."""

    def __init__(self, root: Node, file: str) -> None:
        self.error: type[OpenAutoGLMError] = JobSpecError
        self.root = root
        self.file = file

    def open(self, kinds: Mapping[str, type[OpenAutoGLMError]]) -> tuple[str, str]:
        """Check the envelope; return kind and name, and complain with the kind's error from now on.

        Args:
            kinds: that there are, each with its error.
        """
        self.check_keys((), ENVELOPE, must=ENVELOPE)
        if self.text(("apiVersion",)) != API_VERSION:
            got, fix = self.text(("apiVersion",)), f"write apiVersion: {API_VERSION}"
            self.refuse(("apiVersion",), "this version is not known", got=got, fix=fix)
        kind = self.text(("kind",))
        if kind not in kinds:
            known = tuple(kinds)
            fix = suggest(kind, known) or f"write one of: {', '.join(known)}"
            self.refuse(("kind",), f"there is no kind `{kind}`", got=kind, fix=fix)
        self.error = kinds[kind]
        self.check_keys(("metadata",), ("name",), must=("name",))
        name = self.text(("metadata", "name"))
        if not name.strip():
            self.refuse(("metadata", "name"), "the name is empty", fix="write a name")
        return kind, name

    def has(self, path: Way) -> bool:
        """Return whether something stands there, be it `null`."""
        inner = self.root.at(path[:-1]).value
        return isinstance(inner, dict) and path[-1] in inner

    def text(self, path: Way) -> str:
        """Return a text, or refuse what is none."""
        node = self.root.at(path)
        if not isinstance(node.value, str):
            fix = "write a text; put a number in quotes to make it one"
            self.refuse(path, f"{_dotted(path)} must be a text", got=node.described(), fix=fix)
        return node.value

    def mapping(self, path: Way) -> Mapping[str, Node]:
        """Return a mapping, or refuse what is none."""
        node = self.root.at(path)
        if not isinstance(node.value, dict):
            fix = "write `key: value` below it, or {key: value}"
            self.refuse(path, f"{_dotted(path)} must be a mapping", got=node.described(), fix=fix)
        return node.value

    def check_keys(self, path: Way, known: tuple[str, ...], *, must: tuple[str, ...] = ()) -> None:
        """Refuse keys that nobody knows, and the lack of those that must be there."""
        what = _dotted(path)
        for key in self.mapping(path):
            if key not in known:
                got, fix = f"keys: {', '.join(known)}", suggest(key, known) or "remove it"
                self.refuse((*path, key), f"{what} has no key `{key}`", got=got, fix=fix, key=True)
        for key in must:
            if key not in self.mapping(path):
                self.refuse(path, f"{what} needs the key `{key}`", fix=f"add `{key}: …`")

    def check_fields(
        self,
        path: Way,
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

    def convert(self, path: Way, plain: object, kind: type[Described]) -> Described:
        """Return a struct of plain values that stood below `path`."""
        try:
            return msgspec.convert(plain, kind)
        except msgspec.ValidationError as cause:
            told = read_complaint(cause, kind)
            ours = cause.__cause__
            if isinstance(ours, OpenAutoGLMError):
                place = (*path, *told.path) if told.path else self._meant(path, ours)
                self.refuse(place, ours.problem, got=ours.got, fix=ours.fix, cause=cause)
            problem = f"{_dotted((*path, *told.path))}: {told.problem}"
            self.refuse((*path, *told.path), problem, fix=told.fix, cause=cause)

    def _meant(self, path: Way, error: OpenAutoGLMError) -> Way:
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

    def place(self, path: Way, *, key: bool = False) -> str:
        """Name the place of a value; of its key when that is meant or the value has many lines."""
        node = self.root.at(path)
        line, column = node.line, node.column
        if path and (key or isinstance(node.value, (dict, list))):
            line, column = self.root.at(path[:-1]).keys.get(str(path[-1]), (line, column))
        return f"{self.file}:{line}:{column}"

    def refuse(
        self,
        path: Way,
        problem: str,
        *,
        got: object = None,
        fix: str | None = None,
        cause: Exception | None = None,
        key: bool = False,
    ) -> NoReturn:
        """Raise `error` at the place of a value."""
        raise self.error(f"{self.place(path, key=key)}: {problem}", got=got, fix=fix) from cause


def _dotted(path: Way) -> str:
    return f"`{'.'.join(map(str, path))}`" if path else "the document"


def _struct_in(kind: msgspec.inspect.Type) -> type[msgspec.Struct] | None:
    """Return the struct a field holds, also where it may be null."""
    kinds = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    found = (each.cls for each in kinds if isinstance(each, msgspec.inspect.StructType))
    return next(found, None)

"""YAML text to plain values that still know where they were written.

Owns `Node`, `read_nodes` and `read_documents`. Reads the JSON part of YAML 1.2: mappings with text
keys, lists, texts, numbers, true, false, null; `no`, `on` and dates stay text. Anchors and aliases
work, within limits. Knows nothing of pipelines.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias, cast, final

import yaml

from openautoglm.errors import PipelineSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from openautoglm.pipeline.spec import Path

MAX_DEPTH: Final = 64
MAX_NODES: Final = 20_000  # aliases counted as often as they are used
MAX_DIGITS: Final = 300
INTEGER: Final = re.compile(r"[-+]?[0-9]+")
FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
WORDS: Final = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip

Value: TypeAlias = "bool | int | float | str | list[Node] | dict[str, Node] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value and where it stands.

    Attributes:
        value: what was read.
        line: counted from 1.
        column: counted from 1.
        keys: of a mapping, (line, column) of each key.
        size: values in it, itself included.
        height: levels below it.
    """

    value: Value
    line: int
    column: int
    keys: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    size: int = field(init=False, compare=False)
    height: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        inner = self.inner()
        object.__setattr__(self, "size", 1 + sum(node.size for node in inner))
        object.__setattr__(self, "height", max((1 + node.height for node in inner), default=0))

    def inner(self) -> tuple[Node, ...]:
        """Return the nodes right below."""
        if isinstance(self.value, dict):
            return tuple(self.value.values())
        return tuple(self.value) if isinstance(self.value, list) else ()

    def plain(self) -> object:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def described(self) -> str:
        """Say what the value is, for a complaint about it."""
        match self.value:
            case None:
                return "nothing"
            case bool():
                return f"the truth value {str(self.value).lower()}"
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case str():
                return f"the text {self.value[:40]!r}"
            case _:
                return f"the number {self.value}"

    def at(self, path: Path) -> Node:
        """Return the node that a path leads to, or the last one on the way there."""
        node = self
        for part in path:
            inner = node.value
            in_mapping = isinstance(inner, dict) and part in inner
            in_list = isinstance(inner, list) and isinstance(part, int) and part < len(inner)
            if not in_mapping and not in_list:
                break
            node = cast("dict[str | int, Node]", inner)[part]
        return node


def read_nodes(text: str, *, name: str) -> Node:
    """Read one YAML document.

    Raises:
        PipelineSyntaxError: no YAML, or not of the part that is read; names file, line and column.

    Example:
        >>> node = read_nodes("a: [1, no]", name="x.yaml")
        >>> node.plain(), node.at(("a", 1)).column
        ({'a': [1, 'no']}, 8)
    """
    with _telling(name):
        return _Reader(text, name).document()


def read_documents(text: str, *, name: str) -> list[Node]:
    r"""Read the YAML documents of a text, divided by `---`; empty ones are left out.

    Raises:
        PipelineSyntaxError: as `read_nodes`; the limits are those of all documents together.

    Example:
        >>> [node.plain() for node in read_documents("a: 1\n---\nb: 2\n", name="x.yaml")]
        [{'a': 1}, {'b': 2}]
    """
    with _telling(name):
        return list(_Reader(text, name).documents())


@contextmanager
def _telling(name: str) -> Iterator[None]:
    try:
        yield
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        problem = getattr(cause, "problem", None) or getattr(cause, "reason", None) or str(cause)
        raise PipelineSyntaxError(
            f"{name}{line}: this is not YAML: {problem}",
            got=getattr(cause, "context", None),
            fix="check quotes, brackets and indentation around there; put texts in quotes",
        ) from cause


@final
class _Reader:
    """Build nodes from events: no recursion into C, and every limit in one place."""

    def __init__(self, text: str, name: str) -> None:
        self._name = name
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._anchors: dict[str, Node | None] = {}  # None while it is being read
        self._count = 0

    def document(self) -> Node:
        next(self._events)  # stream start
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return Node(value=None, line=1, column=1)
        node = self._node(next(self._events), 0)
        next(self._events)  # document end
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._refuse(event, "a second document begins", fix="keep one pipeline in a file")
        return node

    def documents(self) -> Iterator[Node]:
        next(self._events)  # stream start
        while not isinstance(next(self._events), yaml.StreamEndEvent):
            self._anchors.clear()
            node = self._node(next(self._events), 0)
            next(self._events)  # document end
            if node.value is not None:
                yield node

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        self._check_depth(event, depth)
        self._spend(event, 1)
        anchor = cast("str | None", getattr(event, "anchor", None))
        if anchor is not None:
            self._anchors[anchor] = None
        line, column = _place(event)
        keys: dict[str, tuple[int, int]] = {}
        value = self._value(event, depth, keys)
        node = Node(value=value, line=line, column=column, keys=keys)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _value(self, event: yaml.Event, depth: int, keys: dict[str, tuple[int, int]]) -> Value:
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            self._refuse(event, f"the tag `{tag}` is not read", fix="remove the tag")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(depth, keys)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth)
        return self._scalar(cast("yaml.ScalarEvent", event))

    def _mapping(self, depth: int, keys: dict[str, tuple[int, int]]) -> dict[str, Node]:
        found: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(event, "a key must be a text", fix="write `key: value`")
            if event.value in found:
                self._refuse(
                    event,
                    f"the key `{event.value}` is there twice",
                    got=f"it is also in line {keys[event.value][0]}",
                    fix="remove or rename one",
                )
            keys[event.value] = _place(event)
            found[event.value] = self._node(next(self._events), depth + 1)
        return found

    def _sequence(self, depth: int) -> list[Node]:
        found: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._node(event, depth + 1))
        return found

    def _scalar(self, event: yaml.ScalarEvent) -> bool | int | float | str | None:
        text: str = event.value
        if event.style is not None or event.tag == "!":
            return text
        if text in WORDS:
            return WORDS[text]
        if INTEGER.fullmatch(text) or FLOAT.fullmatch(text):
            return self._number(event, text)
        return text

    def _number(self, event: yaml.Event, text: str) -> int | float:
        if len(text) > MAX_DIGITS:
            self._refuse(event, f"a number of more than {MAX_DIGITS} digits", fix="quote it")
        if INTEGER.fullmatch(text):
            return int(text)
        number = float(text)
        if number in {float("inf"), float("-inf")}:
            self._refuse(event, "the number is too large", got=text, fix="quote it")
        return number

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        node = self._anchors.get(str(event.anchor))
        if node is None:
            inside = event.anchor in self._anchors
            self._refuse(
                event,
                f"the alias `*{event.anchor}` stands "
                + ("inside what it names" if inside else "before any anchor of that name"),
                fix=f"put `&{event.anchor}` on an earlier value",
            )
        self._check_depth(event, depth + node.height)
        self._spend(event, node.size)
        return node

    def _check_depth(self, event: yaml.Event, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._refuse(event, f"more than {MAX_DEPTH} levels deep", fix="nest less")

    def _spend(self, event: yaml.Event, count: int) -> None:
        self._count += count
        if self._count > MAX_NODES:
            self._refuse(
                event,
                f"more than {MAX_NODES} values, aliases counted each time",
                fix="split the file, or use fewer aliases",
            )

    def _refuse(
        self, event: yaml.Event, problem: str, *, got: str | None = None, fix: str
    ) -> NoReturn:
        line, column = _place(event)
        raise PipelineSyntaxError(f"{self._name}:{line}:{column}: {problem}", got=got, fix=fix)


def _place(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (1, 1) if mark is None else (mark.line + 1, mark.column + 1)

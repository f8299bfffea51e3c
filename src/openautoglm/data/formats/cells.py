"""Texts of a table's cells as values, and values as texts.

Owns what a declared kind reads, how kinds are guessed, and how a value is written. In a cell, null
and the empty text are the same: read as text it is empty, read as anything else it is null.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, get_args

import msgspec

from openautoglm.data.formats.jsonl import json_of
from openautoglm.data.source import Kind
from openautoglm.errors import DataUrlError
from openautoglm.registry import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
INTEGER: Final = re.compile(r"[+-]?\d{1,1000}", re.ASCII)
PLAIN_INTEGER: Final = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
PLAIN_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}
PLAIN_BOOLEANS: Final = frozenset({"true", "false", "True", "False", "TRUE", "FALSE"})


def value_of(text: str, kind: Kind) -> object:
    """Return what a cell holds.

    Raises:
        ValueError: not a value of this kind.

    Example:
        >>> [value_of(*cell) for cell in [("7", "integer"), ("7", "text"), ("", "number")]]
        [7, '7', None]
    """
    if kind == "text":
        return text
    if not text.strip():
        return None
    return _READERS[kind](text.strip())


def text_of(value: object) -> str:
    """Return a value as a cell.

    Example:
        >>> [text_of(value) for value in (None, "a", True, 0.5, {"a": [1]})]
        ['', 'a', 'true', '0.5', '{"a":[1]}']
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else json_of(value)


def guessed(texts: Iterable[str]) -> Kind:
    """Return the kind that all cells of a column look like; empty ones look like any.

    Numbers with zeros in front, as codes have them, are text.

    Example:
        >>> [guessed(texts) for texts in (["1", ""], ["1", "0.5"], ["007"], ["true"], [""])]
        ['integer', 'number', 'text', 'boolean', 'text']
    """
    found = [text.strip() for text in texts if text.strip()]
    if not found:
        return "text"
    if all(PLAIN_INTEGER.fullmatch(text) for text in found):
        return "integer"
    if all(PLAIN_NUMBER.fullmatch(text) for text in found):
        return "number"
    return "boolean" if PLAIN_BOOLEANS.issuperset(found) else "text"


def read_types(option: str, shown: str) -> dict[str, Kind]:
    """Return kinds by column, of an option such as `id:integer,score:number`.

    Raises:
        DataUrlError: it says no such thing; names the nearest kind.
    """
    kinds: dict[str, Kind] = {}
    for declared in filter(None, (part.strip() for part in option.split(","))):
        name, _, word = declared.rpartition(":")
        kind = next((k for k in KINDS if k == word), None)
        if kind is None or not name:
            raise DataUrlError(
                f"`types` has no kind `{word}`" if name else "`types` names kinds by column",
                got=f"{declared} in {shown}",
                fix=suggest(word, KINDS) or f"as in id:integer,score:number; {', '.join(KINDS)}",
            )
        kinds[name] = kind
    return kinds


def _integer(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise ValueError("no integer")
    return int(text)


def _number(text: str) -> float | int:
    if not NUMBER.fullmatch(text):
        raise ValueError("no number")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no finite number")
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in BOOLEANS:
        raise ValueError("neither true nor false")
    return BOOLEANS[text.lower()]


def _json(kind: type | None) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as cause:
            raise ValueError("no JSON") from cause
        if kind is not None and not isinstance(value, kind):
            raise ValueError(f"JSON, but no {'list' if kind is list else 'object'}")
        return value

    return read


_READERS: Final[dict[Kind, Callable[[str], object]]] = {
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "list": _json(list),
    "object": _json(dict),
    "any": _json(None),
}
